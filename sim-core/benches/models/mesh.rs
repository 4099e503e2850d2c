//! A mesh of five-port credit-based routers under uniform random traffic.
//!
//! ```text
//!             north
//!         west ─┼─ east      XY routing, one flit a packet, four slots an input, link latency 1,
//!             south          round-robin arbitration an output; `local` injects and ejects
//! ```
//! The router itself knows only [`Ports`], so that the kernel and the event-queue variant run the same model code.

use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, In, Machine, MachineFile, Out, Payload, Plan, Registry, Resources, Rng,
    Site, StatsNode,
};

pub const SLOTS: u16 = 4;
const LOCAL: usize = 4;

/// A packet of one flit.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Flit {
    pub row: u16,
    pub column: u16,
    pub born: u32,
    pub id: u32,
}

impl Payload for Flit {
    const NAME: &'static str = "flit";
}

/// What a router sees of its four neighbours: 0 north, 1 east, 2 south, 3 west.
pub trait Ports {
    fn now(&self) -> u64;
    fn head(&self, from: usize) -> Option<&Flit>;
    fn take(&mut self, from: usize) -> Flit;
    fn room(&mut self, to: usize) -> bool;
    fn send(&mut self, to: usize, flit: Flit);
}

/// When a router wants to be ticked again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wants {
    NextCycle,
    InputOr(u64),
    CreditInputOr(u64),
}

#[derive(Debug)]
pub struct Router {
    row: u16,
    column: u16,
    side: u16,
    rng: Rng,
    rate: f64,
    next_injection: u64,
    queued: u32,
    queue: [Option<Flit>; 4],
    turn: [u8; 5],
    injected: u32,
    pub received: u64,
    pub latency_cycles: u64,
    pub checksum: u64,
}

impl Router {
    pub fn new(index: usize, side: usize, rate: f64, mut rng: Rng) -> Router {
        let next_injection = rng.gap(rate).saturating_sub(1);
        Router {
            row: (index / side) as u16,
            column: (index % side) as u16,
            side: side as u16,
            rng,
            rate,
            next_injection,
            queued: 0,
            queue: [None; 4],
            turn: [0; 5],
            injected: 0,
            received: 0,
            latency_cycles: 0,
            checksum: 0,
        }
    }

    fn route(&self, flit: &Flit) -> usize {
        use std::cmp::Ordering::*;
        match (flit.column.cmp(&self.column), flit.row.cmp(&self.row)) {
            (Greater, _) => 1,
            (Less, _) => 3,
            (Equal, Greater) => 2,
            (Equal, Less) => 0,
            (Equal, Equal) => LOCAL,
        }
    }

    fn inject(&mut self, now: u64) {
        while self.next_injection <= now {
            // A full source queue loses the packet: offered load above saturation must not grow without bound.
            if (self.queued as usize) < self.queue.len() {
                let to = self.rng.below(u64::from(self.side) * u64::from(self.side)) as u32;
                let (row, column) = ((to / u32::from(self.side)) as u16, (to % u32::from(self.side)) as u16);
                let flit = Flit { row, column, born: now as u32, id: self.injected };
                self.queue[self.queued as usize] = Some(flit);
                self.queued += 1;
            }
            self.injected += 1;
            self.next_injection += self.rng.gap(self.rate);
        }
    }

    #[inline]
    pub fn tick(&mut self, ports: &mut impl Ports) -> Wants {
        let now = ports.now();
        self.inject(now);
        let mut wanted = [0_u8; 5];
        for from in 0..5 {
            let head = if from == LOCAL { self.queue[0].as_ref() } else { ports.head(from) };
            if let Some(flit) = head {
                wanted[self.route(flit)] |= 1 << from;
            }
        }
        let (mut moved, mut stuck) = (false, false);
        for (to, &wanted) in wanted.iter().enumerate() {
            if wanted == 0 {
                continue;
            }
            if to != LOCAL && !ports.room(to) {
                stuck = true;
                continue;
            }
            let turn = self.turn[to];
            let rotated = (u16::from(wanted) | u16::from(wanted) << 5) >> turn;
            let from = (usize::from(turn) + rotated.trailing_zeros() as usize) % 5;
            self.turn[to] = ((from + 1) % 5) as u8;
            let flit = if from == LOCAL {
                let flit = self.queue[0].expect("it wants this output");
                self.queue.copy_within(1.., 0);
                self.queue[3] = None;
                self.queued -= 1;
                flit
            } else {
                ports.take(from)
            };
            if to == LOCAL {
                self.received += 1;
                self.latency_cycles += now - u64::from(flit.born);
                self.checksum = self.checksum.rotate_left(5) ^ (u64::from(flit.id) << 32 | now);
            } else {
                ports.send(to, flit);
            }
            moved = true;
        }
        if moved {
            let left = self.queued > 0 || (0..4).any(|from| ports.head(from).is_some());
            if left { Wants::NextCycle } else { Wants::InputOr(self.next_injection) }
        } else if stuck {
            Wants::CreditInputOr(self.next_injection)
        } else {
            Wants::InputOr(self.next_injection)
        }
    }
}

/// What is compared between kernels: one line a router.
pub fn summary<'r>(routers: impl Iterator<Item = &'r Router>) -> running_hash::Digest {
    let mut digest = running_hash::Digest::default();
    routers.for_each(|r| digest.put(&[r.received, r.latency_cycles, r.checksum, u64::from(r.injected)]));
    digest
}

/// A small running hash, the same for both kernels.
pub mod running_hash {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Digest(pub u64);

    impl Digest {
        pub fn put(&mut self, values: &[u64]) {
            for v in values {
                self.0 = (self.0 ^ v).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
            }
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterSpec {
    injection_rate: f64,
}

pub struct KernelRouter {
    pub router: Router,
    inputs: [In<Flit>; 4],
    outputs: [Out<Flit>; 4],
}

struct View<'a, 'c> {
    cx: &'a mut Cx<'c>,
    inputs: &'a [In<Flit>; 4],
    outputs: &'a [Out<Flit>; 4],
}

impl Ports for View<'_, '_> {
    fn now(&self) -> u64 {
        self.cx.now().0
    }
    #[inline]
    fn head(&self, from: usize) -> Option<&Flit> {
        self.cx.peek(self.inputs[from])
    }
    #[inline]
    fn take(&mut self, from: usize) -> Flit {
        self.cx.take(self.inputs[from]).expect("it has a head")
    }
    #[inline]
    fn room(&mut self, to: usize) -> bool {
        self.cx.can_send(self.outputs[to])
    }
    fn send(&mut self, to: usize, flit: Flit) {
        self.cx.send(self.outputs[to], flit);
    }
}

const SIDES: [&str; 4] = ["north", "east", "south", "west"];

sim_core::saved!(Router {
    state: rng, next_injection, queued, queue, turn, injected, received, latency_cycles, checksum;
    rebuilt: row, column, side, rate;
});
sim_core::saved!(KernelRouter { parts: router; rebuilt: inputs, outputs });

impl Component for KernelRouter {
    const KIND: &'static str = "bench.router";
    type Spec = RouterSpec;

    fn build(spec: RouterSpec, site: &mut Site<'_>) -> Result<KernelRouter, BuildError> {
        let side = site.dimensions()[0];
        let rng = site.rng();
        Ok(KernelRouter {
            router: Router::new(site.index(), side, spec.injection_rate, rng),
            inputs: SIDES.map(|s| site.input(&format!("from_{s}"), SLOTS)),
            outputs: SIDES.map(|s| site.output(s)),
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let mut view = View { cx, inputs: &self.inputs, outputs: &self.outputs };
        match self.router.tick(&mut view) {
            Wants::NextCycle => Activity::BUSY,
            Wants::InputOr(at) => Activity::input().or_until(Cycle(at)),
            Wants::CreditInputOr(at) => Activity::credit().or_input().or_until(Cycle(at)),
        }
    }

    fn report(&self, _: Cycle, out: &mut StatsNode) {
        out.counter("received", self.router.received, "flits");
        out.counter("latency_cycles", self.router.latency_cycles, "cycles");
        out.counter("checksum", (self.router.checksum ^ self.router.checksum >> 32) & 0xffff_ffff, "");
    }
}

pub fn machine(side: usize, rate: f64, latency_cycles: u32, plan: Plan) -> Machine {
    let last = side - 1;
    let mut text = format!(
        "seed = 1\n[clock.c]\nmhz = 1000\n[part.router]\nkind = \"bench.router\"\nclock = \"c\"\ncount = [{side}, {side}]\n\
         injection_rate = {rate:?}\n"
    );
    for (from, from_at, to, to_at) in [
        ("east", format!("0..{side}, 0..{last}"), "from_west", format!("0..{side}, 1..{side}")),
        ("west", format!("0..{side}, 1..{side}"), "from_east", format!("0..{side}, 0..{last}")),
        ("south", format!("0..{last}, 0..{side}"), "from_north", format!("1..{side}, 0..{side}")),
        ("north", format!("1..{side}, 0..{side}"), "from_south", format!("0..{last}, 0..{side}")),
    ] {
        text += &format!(
            "[[link]]\nfrom = \"router[{from_at}].{from}\"\nto = \"router[{to_at}].{to}\"\nlatency_cycles = {latency_cycles}\n"
        );
    }
    let edges = [
        ("east", format!("0..{side}, {last}")),
        ("west", format!("0..{side}, 0")),
        ("south", format!("{last}, 0..{side}")),
        ("north", format!("0, 0..{side}")),
    ];
    let open: Vec<String> = (edges.iter())
        .flat_map(|(s, at)| [format!("\"router[{at}].{s}\""), format!("\"router[{at}].from_{s}\"")])
        .collect();
    let text = format!("unconnected = [{}]\n{text}", open.join(", "));
    let file = MachineFile::parse("mesh.toml", &text).expect("a mesh");
    let mut kinds = Registry::new();
    kinds.add::<KernelRouter>();
    Machine::build(&file, &kinds, Resources::new(), plan).unwrap_or_else(|e| panic!("{}", e[0]))
}

pub fn routers(machine: &Machine, side: usize) -> impl Iterator<Item = &Router> {
    (0..side * side).map(|i| &machine.component::<KernelRouter>("router", i).expect("it was built").router)
}

/// The stream that router `index` has in the kernel.
pub fn stream(index: usize, side: usize) -> Rng {
    Rng::placed(1, &format!("router[{}, {}]", index / side, index % side))
}
