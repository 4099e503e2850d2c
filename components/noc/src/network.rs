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
    of_port: Vec<u32>,
}

impl Gates {
    /// `bytes_per_cycle` for each of `groups`; port p belongs to `group_of(p)`.
    pub fn new(bytes_per_cycle: f64, groups: usize, ports: usize, group_of: impl Fn(usize) -> usize) -> Self {
        let of_port = (0..ports).map(|port| group_of(port) as u32).collect();
        Self { rates: vec![Bandwidth::of_bytes_per_cycle(bytes_per_cycle); groups], of_port }
    }

    /// When the port may send: `now` if it may.
    #[inline]
    fn opens_at(&mut self, port: usize, now: u64) -> u64 {
        let rate = &mut self.rates[self.of_port[port] as usize];
        rate.advance(now);
        rate.opens_at()
    }

    #[inline]
    fn spend(&mut self, port: usize, bytes: u32) {
        self.rates[self.of_port[port] as usize].spend(bytes);
    }
}

/// Latest cycle at which all rates of a port are open.
#[inline]
fn opens_at(gates: &mut [Gates], port: usize, now: u64) -> u64 {
    gates.iter_mut().map(|gate| gate.opens_at(port, now)).max().unwrap_or(now)
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
    in_flight: u32,
    first_input: usize,
    first_output: usize,
    pub moved: Moved,
}

sim_core::saved!(Gates { parts: rates; rebuilt: of_port });
sim_core::saved!(Network<P: Payload> {
    sized: queues, occupied;
    state: in_flight, first_input, first_output, moved;
    parts: input_gates, output_gates;
    rebuilt: latency_cycles, queue_entries;
});

/// How a network treats its packets.
pub trait Traffic<P> {
    /// The output it goes to.
    fn output(&self, packet: &P) -> usize;
    /// Its size as the rates count it.
    fn bytes(&self, packet: &P) -> u32;
    /// It leaves after so many cycles in the network, of which so many in a queue.
    fn leaves(&self, packet: &mut P, cycles: u64, queued: u64);
}

impl<P: Payload + Copy> Network<P> {
    /// An empty network of `outputs` queues.
    pub fn new(latency_cycles: u32, queue_entries: u16, inputs: Vec<Gates>, outputs: Vec<Gates>, width: usize) -> Self {
        Self {
            latency_cycles: u64::from(latency_cycles),
            queue_entries: usize::from(queue_entries),
            input_gates: inputs,
            output_gates: outputs,
            queues: (0..width).map(|_| VecDeque::new()).collect(),
            occupied: vec![0; width.div_ceil(64)],
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
                if self.drain(cx, output, outputs[output], traffic, next) {
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
        while let Some(&(due, mut packet)) = self.queues[output].front() {
            if due > now {
                next.cycle = next.cycle.min(due);
                return sent;
            }
            let open = opens_at(&mut self.output_gates, output, now);
            if open > now {
                next.cycle = next.cycle.min(open);
                return sent;
            }
            if !cx.can_send(port) {
                next.wants_credit = true;
                return sent;
            }
            self.queues[output].pop_front();
            self.in_flight -= 1;
            let bytes = traffic.bytes(&packet);
            self.output_gates.iter_mut().for_each(|gate| gate.spend(output, bytes));
            let queued = now - due;
            self.moved.packets_out += 1;
            self.moved.bytes_out += u64::from(bytes);
            self.moved.queued_cycles += queued;
            traffic.leaves(&mut packet, queued + self.latency_cycles, queued);
            cx.send(port, packet);
            sent = true;
        }
        self.occupied[output / 64] &= !(1 << (output % 64));
        sent
    }

    fn enter(&mut self, cx: &mut Cx<'_>, inputs: &[In<P>], traffic: &impl Traffic<P>, next: &mut Next) {
        let mut last_served = None;
        // One packet each in turn, until a round moves none that has another behind it.
        let mut again = true;
        while again {
            again = false;
            let first = self.first_input;
            for input in (first..inputs.len()).chain(0..first) {
                if self.take(cx, input, inputs[input], traffic, next) {
                    last_served = Some(input);
                    again |= !cx.is_empty(inputs[input]);
                }
            }
        }
        if let Some(served) = last_served {
            self.first_input = (served + 1) % inputs.len();
        }
    }

    /// Takes a packet from an input if it may come in; whether it did.
    fn take(&mut self, cx: &mut Cx<'_>, input: usize, port: In<P>, traffic: &impl Traffic<P>, next: &mut Next) -> bool {
        let now = cx.now().0;
        let Some(&packet) = cx.peek(port) else { return false };
        let open = opens_at(&mut self.input_gates, input, now);
        if open > now {
            next.cycle = next.cycle.min(open);
            return false;
        }
        let output = traffic.output(&packet);
        // A full queue is looked at again when it has sent something, which it does by itself.
        if self.queues[output].len() >= self.queue_entries {
            return false;
        }
        cx.take(port);
        let bytes = traffic.bytes(&packet);
        self.input_gates.iter_mut().for_each(|gate| gate.spend(input, bytes));
        self.moved.packets_in += 1;
        self.moved.bytes_in += u64::from(bytes);
        let due = now + self.latency_cycles;
        self.queues[output].push_back((due, packet));
        self.occupied[output / 64] |= 1 << (output % 64);
        self.in_flight += 1;
        next.cycle = next.cycle.min(due);
        true
    }
}
