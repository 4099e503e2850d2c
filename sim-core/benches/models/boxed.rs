//! The variant to beat: boxed components, boxed messages, one central `BinaryHeap` of events, as in common
//! event-driven simulators. Same model code, same results.

use super::graph::{Node, Token, Wiring};
use super::mesh::{Flit, Ports, Router, SLOTS, Wants, stream};
use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// What happens to a component.
enum What {
    Arrival { port: u8, message: Box<dyn Any> },
    Credit { port: u8 },
    Tick,
}

struct Event {
    time: u64,
    /// Arrivals and credits (0) come before ticks (1) of the same cycle.
    phase: u8,
    sequence: u64,
    target: u32,
    what: What,
}

impl Event {
    fn key(&self) -> (u64, u8, u64) {
        (self.time, self.phase, self.sequence)
    }
}
impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[derive(Default)]
struct Queue {
    heap: BinaryHeap<Reverse<Event>>,
    sequence: u64,
}

impl Queue {
    fn push(&mut self, time: u64, phase: u8, target: u32, what: What) {
        self.sequence += 1;
        self.heap.push(Reverse(Event { time, phase, sequence: self.sequence, target, what }));
    }
}

trait Handler {
    fn handle(&mut self, now: u64, what: What, queue: &mut Queue);
    fn state(&self) -> &dyn Any;
}

pub struct Engine {
    queue: Queue,
    components: Vec<Box<dyn Handler>>,
    pub events: u64,
}

impl Engine {
    /// Works through all events up to and including cycle `until`.
    pub fn run(&mut self, until: u64) {
        while self.queue.heap.peek().is_some_and(|Reverse(e)| e.time <= until) {
            let Reverse(event) = self.queue.heap.pop().expect("just seen");
            self.events += 1;
            self.components[event.target as usize].handle(event.time, event.what, &mut self.queue);
        }
    }

    pub fn states<T: 'static>(&self) -> impl Iterator<Item = &T> {
        self.components.iter().map(|c| c.state().downcast_ref().expect("it was built"))
    }
}

struct BoxedNode {
    node: Node,
    links: [(u32, u32); super::graph::FAN],
}

impl Handler for BoxedNode {
    fn handle(&mut self, now: u64, what: What, queue: &mut Queue) {
        let (to, token) = match what {
            What::Arrival { port, message } => {
                let token = message.downcast::<Token>().expect("the only protocol");
                self.node.handle(usize::from(port), now, *token)
            }
            _ => (0, Token { value: self.node.state }),
        };
        let (target, latency) = self.links[to];
        let what = What::Arrival { port: to as u8, message: Box::new(token) };
        queue.push(now + u64::from(latency), 0, target, what);
    }

    fn state(&self) -> &dyn Any {
        &self.node
    }
}

pub fn graph(wiring: &Wiring) -> Engine {
    let mut queue = Queue::default();
    let components = (wiring.links.iter().enumerate())
        .map(|(i, links)| {
            queue.push(0, 1, i as u32, What::Tick);
            Box::new(BoxedNode { node: Node::new(i), links: *links }) as Box<dyn Handler>
        })
        .collect();
    Engine { queue, components, events: 0 }
}

struct BoxedRouter {
    router: Router,
    id: u32,
    side: u32,
    inputs: [VecDeque<Box<Flit>>; 4],
    credits: [u16; 4],
    waits_for_credit: bool,
    /// Cycle of the earliest tick scheduled.
    scheduled: u64,
}

struct View<'a> {
    now: u64,
    id: u32,
    side: u32,
    inputs: &'a mut [VecDeque<Box<Flit>>; 4],
    credits: &'a mut [u16; 4],
    queue: &'a mut Queue,
}

impl View<'_> {
    fn neighbour(&self, port: usize) -> u32 {
        match port {
            0 => self.id - self.side,
            1 => self.id + 1,
            2 => self.id + self.side,
            _ => self.id - 1,
        }
    }
}

impl Ports for View<'_> {
    fn now(&self) -> u64 {
        self.now
    }
    fn head(&self, from: usize) -> Option<&Flit> {
        self.inputs[from].front().map(|f| &**f)
    }
    fn take(&mut self, from: usize) -> Flit {
        let what = What::Credit { port: (from as u8 + 2) % 4 };
        self.queue.push(self.now + 1, 0, self.neighbour(from), what);
        *self.inputs[from].pop_front().expect("it has a head")
    }
    fn room(&mut self, to: usize) -> bool {
        self.credits[to] > 0
    }
    fn send(&mut self, to: usize, flit: Flit) {
        self.credits[to] -= 1;
        let what = What::Arrival { port: (to as u8 + 2) % 4, message: Box::new(flit) };
        self.queue.push(self.now + 1, 0, self.neighbour(to), what);
    }
}

impl BoxedRouter {
    fn schedule(&mut self, at: u64, queue: &mut Queue) {
        if at < self.scheduled {
            self.scheduled = at;
            queue.push(at, 1, self.id, What::Tick);
        }
    }
}

impl Handler for BoxedRouter {
    fn handle(&mut self, now: u64, what: What, queue: &mut Queue) {
        match what {
            What::Arrival { port, message } => {
                self.inputs[usize::from(port)].push_back(message.downcast().expect("the only protocol"));
                self.schedule(now, queue);
            }
            What::Credit { port } => {
                self.credits[usize::from(port)] += 1;
                if self.waits_for_credit {
                    self.schedule(now, queue);
                }
            }
            What::Tick if self.scheduled != now => {}
            What::Tick => {
                self.scheduled = u64::MAX;
                let BoxedRouter { router, id, side, inputs, credits, .. } = self;
                let wants = router.tick(&mut View { now, id: *id, side: *side, inputs, credits, queue });
                self.waits_for_credit = matches!(wants, Wants::CreditInputOr(_));
                match wants {
                    Wants::NextCycle => self.schedule(now + 1, queue),
                    Wants::InputOr(at) | Wants::CreditInputOr(at) => self.schedule(at.max(now + 1), queue),
                }
            }
        }
    }

    fn state(&self) -> &dyn Any {
        &self.router
    }
}

pub fn mesh(side: usize, rate: f64) -> Engine {
    let mut queue = Queue::default();
    let components = (0..side * side)
        .map(|i| {
            queue.push(0, 1, i as u32, What::Tick);
            let (row, column) = (i / side, i % side);
            let open = [row > 0, column + 1 < side, row + 1 < side, column > 0];
            Box::new(BoxedRouter {
                router: Router::new(i, side, rate, stream(i, side)),
                id: i as u32,
                side: side as u32,
                inputs: Default::default(),
                credits: open.map(|o| if o { SLOTS } else { 0 }),
                waits_for_credit: false,
                scheduled: 0,
            }) as Box<dyn Handler>
        })
        .collect();
    Engine { queue, components, events: 0 }
}
