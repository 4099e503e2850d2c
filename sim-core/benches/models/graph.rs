//! A graph: each component forwards what it gets over one of four fixed links with latencies of 1 to 64 cycles.

use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, In, Machine, MachineFile, Out, Payload, Plan, Registry, Resources, Rng,
    Site, StatsNode,
};
use std::sync::Arc;

pub const FAN: usize = 4;
/// More than ever meet on one link in the benchmark: nothing blocks. The variant has no credits at all; the nearest to
/// that are credits that are back in the next cycle.
const SLOTS: u16 = 16;

#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Token {
    pub value: u64,
}

impl Payload for Token {
    const NAME: &'static str = "token";
}

/// Links: `(receiver, latency)` of output `k` of component `i`; input `k` of a component has exactly one sender.
pub struct Wiring {
    pub links: Vec<[(u32, u32); FAN]>,
}

impl Wiring {
    pub fn random(n: usize, seed: u64) -> Wiring {
        let mut rng = Rng::placed(seed, "wiring");
        let mut links = vec![[(0, 1); FAN]; n];
        for k in 0..FAN {
            let mut to: Vec<u32> = (0..n as u32).collect();
            rng.shuffle(&mut to);
            for (link, to) in links.iter_mut().zip(to) {
                link[k] = (to, 1 + rng.below(64) as u32);
            }
        }
        Wiring { links }
    }
}

#[derive(Clone, Debug)]
pub struct Node {
    pub state: u64,
    pub handled: u64,
}

impl Node {
    pub fn new(index: usize) -> Node {
        Node { state: (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), handled: 0 }
    }

    /// Takes a token of input `port`: the output it leaves by, and the token. The state sums commuting parts, so that
    /// tokens of one cycle may come in any order.
    #[inline]
    pub fn handle(&mut self, port: usize, now: u64, token: Token) -> (usize, Token) {
        let mixed = (token.value ^ now ^ (port as u64) << 48).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mixed = mixed ^ mixed >> 32;
        self.state = self.state.wrapping_add(mixed);
        self.handled += 1;
        ((mixed & 3) as usize, Token { value: mixed })
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {}

pub struct KernelNode {
    pub node: Node,
    inputs: [In<Token>; FAN],
    outputs: [Out<Token>; FAN],
    first: bool,
}

sim_core::saved!(Node { state: state, handled });
sim_core::saved!(KernelNode { state: first; parts: node; rebuilt: inputs, outputs });

impl Component for KernelNode {
    const KIND: &'static str = "bench.node";
    type Spec = NodeSpec;

    fn build(_: NodeSpec, site: &mut Site<'_>) -> Result<KernelNode, BuildError> {
        Ok(KernelNode {
            node: Node::new(site.index()),
            inputs: std::array::from_fn(|k| site.input(&format!("in{k}"), SLOTS)),
            outputs: std::array::from_fn(|k| site.output(&format!("out{k}"))),
            first: true,
        })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        if self.first {
            self.first = false;
            cx.send(self.outputs[0], Token { value: self.node.state });
        }
        for port in 0..FAN {
            while let Some(token) = cx.take(self.inputs[port]) {
                let (to, token) = self.node.handle(port, cx.now().0, token);
                cx.send(self.outputs[to], token);
            }
        }
        Activity::input()
    }

    fn report(&self, _: Cycle, out: &mut StatsNode) {
        out.counter("handled", self.node.handled, "tokens");
        out.counter("state", self.node.state & 0xffff_ffff, "");
    }
}

pub fn machine(wiring: &Arc<Wiring>, plan: Plan) -> Machine {
    let n = wiring.links.len();
    let mut text = format!("[clock.c]\nmhz = 1000\n[part.node]\nkind = \"bench.node\"\nclock = \"c\"\ncount = {n}\n");
    for (i, links) in wiring.links.iter().enumerate() {
        for (k, (to, latency)) in links.iter().enumerate() {
            text += &format!(
                "[[link]]\nfrom = \"node[{i}].out{k}\"\nto = \"node[{to}].in{k}\"\nlatency_cycles = {latency}\ncredit_latency_cycles = 1\n"
            );
        }
    }
    let file = MachineFile::parse("graph.toml", &text).expect("a graph");
    let mut kinds = Registry::new();
    kinds.add::<KernelNode>();
    Machine::build(&file, &kinds, Resources::new(), plan).unwrap_or_else(|e| panic!("{}", e[0]))
}

pub fn nodes(machine: &Machine, n: usize) -> impl Iterator<Item = &Node> {
    (0..n).map(|i| &machine.component::<KernelNode>("node", i).expect("it was built").node)
}
