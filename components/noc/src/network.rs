//! One direction of a crossbar: an output-queued switch with finite queues.
//!
//! ```text
//!   input[..] ─▶ rates of input ─▶ latency, queue of the output ─▶ rates of output ─▶ output[..]
//! ```
//!
//! Models: rates in bytes a cycle, own and shared by a group of ports; a queue for each output, of which the room is taken
//! when a packet leaves its input, so that a full one holds its inputs up (and what is behind in them); round robin among
//! inputs and among outputs. Leaves out: flits; the rate counts bytes.
//! Packets never wait for other packets than those that go the same way, so the network itself cannot deadlock.
//! Start reading at [`Network::tick`].

use protocol::Bandwidth;
use serde::{Deserialize, Serialize};
use sim_core::{Cx, In, Out, Payload};
use std::collections::VecDeque;

/// Rates that a port obeys, each shared by the ports that name it.
pub struct Gates {
    rates: Vec<Bandwidth>,
    /// First cycle at which each rate is open; found when it is spent, since looks are more frequent.
    opens_at: Vec<u64>,
    of_port: Vec<u32>,
}

impl Gates {
    /// `bytes_per_cycle` for each of `groups`; port p belongs to `group_of(p)`.
    pub fn new(bytes_per_cycle: f64, groups: usize, ports: usize, group_of: impl Fn(usize) -> usize) -> Self {
        let of_port = (0..ports).map(|port| group_of(port) as u32).collect();
        let rates = vec![Bandwidth::of_bytes_per_cycle(bytes_per_cycle); groups];
        Self { rates, opens_at: vec![0; groups], of_port }
    }

    /// From which cycle on the port may send, in the past too.
    #[inline]
    fn opens_at(&self, port: usize) -> u64 {
        self.opens_at[self.of_port[port] as usize]
    }

    #[inline]
    fn spend(&mut self, port: usize, bytes: u32, now: u64) {
        let group = self.of_port[port] as usize;
        let rate = &mut self.rates[group];
        rate.advance(now);
        rate.spend(bytes);
        self.opens_at[group] = rate.opens_at();
    }
}

/// Cycle from which on all rates of a port are open.
#[inline]
fn opens_at(gates: &[Gates], port: usize) -> u64 {
    gates.iter().fold(0, |latest, gate| latest.max(gate.opens_at(port)))
}

/// What a network has moved.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Moved {
    /// That entered.
    pub packets_in: u64,
    /// That left.
    pub packets_out: u64,
    /// That entered, as the rates count them.
    pub bytes_in: u64,
    /// That left.
    pub bytes_out: u64,
    /// Packet-cycles in output queues beyond the latency.
    pub queued_cycles: u64,
}

/// What keeps a network from sleeping.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// First cycle at which something can move by itself.
    pub cycle: u64,
    /// An output lacks credits.
    pub wants_credit: bool,
}

/// One direction.
pub struct Network<P> {
    latency_cycles: u64,
    queue_entries: usize,
    input_gates: Vec<Gates>,
    output_gates: Vec<Gates>,
    /// For each output, with the cycle at which the packet is there.
    queues: Vec<VecDeque<(u64, P)>>,
    /// Outputs with packets, a bit each.
    occupied: Vec<u64>,
    /// A cycle before which each output sends nothing: its oldest packet is not there, or a rate is spent. A lower bound,
    /// which outputs that are looked at in vain keep up to date.
    sends_from: Vec<u64>,
    /// The output of the oldest packet of each input, once it was asked for.
    bound_for: Vec<Option<u32>>,
    /// Scratch: inputs that may have another packet taken in this cycle.
    again: Vec<u32>,
    in_flight: u32,
    first_input: usize,
    first_output: usize,
    pub moved: Moved,
}

sim_core::saved!(Gates { sized: opens_at; parts: rates; rebuilt: of_port });
sim_core::saved!(Network<P: Payload> {
    sized: queues, occupied;
    state: in_flight, first_input, first_output, moved;
    parts: input_gates, output_gates;
    rebuilt: latency_cycles, queue_entries, sends_from, bound_for, again;
});

/// How a network treats its packets.
pub trait Traffic<P> {
    /// The output it goes to.
    fn output(&self, packet: &P) -> usize;
    /// Its size as the rates count it.
    fn bytes(&self, packet: &P) -> u32;
}

impl<P: Payload + Copy> Network<P> {
    /// An empty network of `outputs` queues.
    pub fn new(latency_cycles: u32, queue_entries: u16, inputs: Vec<Gates>, outputs: Vec<Gates>, width: usize) -> Self {
        let ports = inputs.iter().map(|gates| gates.of_port.len()).max().unwrap_or(0);
        Self {
            latency_cycles: u64::from(latency_cycles),
            queue_entries: usize::from(queue_entries),
            input_gates: inputs,
            output_gates: outputs,
            queues: (0..width).map(|_| VecDeque::new()).collect(),
            occupied: vec![0; width.div_ceil(64)],
            sends_from: vec![0; width],
            bound_for: vec![None; ports],
            again: Vec::with_capacity(ports),
            in_flight: 0,
            first_input: 0,
            first_output: 0,
            moved: Moved::default(),
        }
    }

    /// One cycle: packets leave, then enter.
    pub fn tick(&mut self, cx: &mut Cx<'_>, inputs: &[In<P>], outputs: &[Out<P>], traffic: &impl Traffic<P>) -> Next {
        let mut next = Next { cycle: u64::MAX, wants_credit: false };
        if self.in_flight > 0 {
            self.deliver(cx, outputs, traffic, &mut next);
        }
        self.enter(cx, inputs, traffic, &mut next);
        next
    }

    /// The oldest packet that is in the network, with its output, for the deadlock report.
    pub fn oldest(&self) -> Option<(usize, &P)> {
        let heads = self.queues.iter().enumerate().filter_map(|(output, queue)| Some((output, queue.front()?)));
        heads.min_by_key(|(_, (due, _))| *due).map(|(output, (_, packet))| (output, packet))
    }

    fn deliver(&mut self, cx: &mut Cx<'_>, outputs: &[Out<P>], traffic: &impl Traffic<P>, next: &mut Next) {
        let now = cx.now().0;
        let words = self.occupied.len();
        let (start_word, start_bit) = (self.first_output / 64, self.first_output % 64);
        let above = u64::MAX << start_bit;
        let mut first_served = None;
        // The word of the first output comes twice: its upper bits at the start, its lower ones at the end.
        for step in 0..=words {
            let word = (start_word + step) % words;
            let mask = if step == 0 {
                above
            } else if step == words {
                !above
            } else {
                u64::MAX
            };
            let mut bits = self.occupied[word] & mask;
            while bits != 0 {
                let output = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let from = self.sends_from[output];
                if from > now {
                    next.cycle = next.cycle.min(from);
                } else if self.drain(cx, output, outputs[output], traffic, next) {
                    first_served.get_or_insert(output);
                }
            }
        }
        if let Some(served) = first_served {
            self.first_output = (served + 1) % self.queues.len();
        }
    }

    /// Sends what an output may send now; whether it sent anything.
    fn drain(
        &mut self,
        cx: &mut Cx<'_>,
        output: usize,
        port: Out<P>,
        traffic: &impl Traffic<P>,
        next: &mut Next,
    ) -> bool {
        let now = cx.now().0;
        let mut sent = false;
        while let Some(&(due, packet)) = self.queues[output].front() {
            let from = due.max(opens_at(&self.output_gates, output));
            if from > now {
                self.sends_from[output] = from;
                next.cycle = next.cycle.min(from);
                return sent;
            }
            if !cx.can_send(port) {
                next.wants_credit = true;
                return sent;
            }
            self.queues[output].pop_front();
            self.in_flight -= 1;
            let bytes = traffic.bytes(&packet);
            self.output_gates.iter_mut().for_each(|gate| gate.spend(output, bytes, now));
            self.moved.packets_out += 1;
            self.moved.bytes_out += u64::from(bytes);
            self.moved.queued_cycles += now - due;
            cx.send(port, packet);
            sent = true;
        }
        self.occupied[output / 64] &= !(1 << (output % 64));
        sent
    }

    /// One packet each in turn, until a round moves none that has another behind it.
    fn enter(&mut self, cx: &mut Cx<'_>, inputs: &[In<P>], traffic: &impl Traffic<P>, next: &mut Next) {
        let (now, first) = (cx.now().0, self.first_input);
        let mut last_served = None;
        let mut again = std::mem::take(&mut self.again);
        for mut turn in [first..inputs.len(), 0..first] {
            while let Some(input) = cx.next_full(inputs, turn.clone()) {
                turn.start = input + 1;
                let open = opens_at(&self.input_gates, input);
                if open > now {
                    next.cycle = next.cycle.min(open);
                } else if self.take(cx, input, inputs[input], traffic, next) {
                    last_served = Some(input);
                    again.push(input as u32);
                }
            }
        }
        // Rates and queues only fill up within a cycle: who got nothing in a round gets nothing in the next.
        while !again.is_empty() {
            again.retain(|&input| {
                let (input, port) = (input as usize, inputs[input as usize]);
                if cx.is_empty(port) {
                    return false;
                }
                let open = opens_at(&self.input_gates, input);
                if open > now {
                    next.cycle = next.cycle.min(open);
                    return false;
                }
                let moved = self.take(cx, input, port, traffic, next);
                if moved {
                    last_served = Some(input);
                }
                moved
            });
        }
        self.again = again;
        if let Some(served) = last_served {
            self.first_input = if served + 1 == inputs.len() { 0 } else { served + 1 };
        }
    }

    /// Takes a packet from an input that has one and whose rates are open, if its output has room; whether it did.
    fn take(&mut self, cx: &mut Cx<'_>, input: usize, port: In<P>, traffic: &impl Traffic<P>, next: &mut Next) -> bool {
        let now = cx.now().0;
        let output = match self.bound_for[input] {
            Some(output) => output as usize,
            None => {
                let Some(packet) = cx.peek(port) else { return false };
                let output = traffic.output(packet);
                self.bound_for[input] = Some(output as u32);
                output
            }
        };
        // A full queue is looked at again when it has sent something, which it does by itself.
        if self.queues[output].len() >= self.queue_entries {
            return false;
        }
        let Some(packet) = cx.take(port) else { return false };
        self.bound_for[input] = None;
        let bytes = traffic.bytes(&packet);
        self.input_gates.iter_mut().for_each(|gate| gate.spend(input, bytes, now));
        self.moved.packets_in += 1;
        self.moved.bytes_in += u64::from(bytes);
        let due = now + self.latency_cycles;
        if self.queues[output].is_empty() {
            self.sends_from[output] = due;
            self.occupied[output / 64] |= 1 << (output % 64);
        }
        self.queues[output].push_back((due, packet));
        self.in_flight += 1;
        next.cycle = next.cycle.min(due);
        true
    }
}
