//! Where a component declares itself while the machine is being built.

use crate::component::{In, Out};
use crate::config::LinkSpec;
use crate::lane::{LaneSlot, Payload};
use crate::rng::Rng;
use crate::shard::Shard;
use crate::topology::{Direction, PortDecl, Topology};
use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::sync::Arc;

/// Things that the builder of a machine hands to its components, by type: the workload, memory contents, tables.
#[derive(Clone, Default)]
pub struct Resources {
    by_type: Vec<(TypeId, Arc<dyn Any + Send + Sync>)>,
}

impl Resources {
    /// An empty bag.
    pub fn new() -> Resources {
        Resources::default()
    }

    /// Adds or exchanges the resource of type `T`.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, resource: Arc<T>) -> Resources {
        self.insert(resource);
        self
    }

    /// Adds or exchanges the resource of type `T`.
    pub fn insert<T: Any + Send + Sync>(&mut self, resource: Arc<T>) {
        self.by_type.retain(|(id, _)| *id != TypeId::of::<T>());
        self.by_type.push((TypeId::of::<T>(), resource));
    }

    /// The resource of type `T`.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let (_, resource) = self.by_type.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        resource.clone().downcast().ok()
    }
}

/// Everything under construction, shared by the sites of all components.
pub(crate) struct Yard {
    pub shards: Vec<Shard>,
    pub topology: Topology,
    pub resources: Resources,
    pub seed: u64,
    pub links: Vec<LinkSpec>,
    lane_ids: Vec<TypeId>,
}

impl Yard {
    pub fn new(shards: Vec<Shard>, topology: Topology, resources: Resources, seed: u64, links: Vec<LinkSpec>) -> Yard {
        Yard { shards, topology, resources, seed, links, lane_ids: Vec::new() }
    }

    /// The lane of a protocol, opened in every shard when it is first named.
    fn lane<P: Payload>(&mut self) -> u16 {
        let id = TypeId::of::<P>();
        if let Some(lane) = self.lane_ids.iter().position(|l| *l == id) {
            return lane as u16;
        }
        let shards = self.shards.len();
        for shard in &mut self.shards {
            let domains = shard.fabric.clocks.len();
            shard.fabric.lanes.push(LaneSlot::new::<P>(domains, shards));
        }
        self.lane_ids.push(id);
        self.topology.protocols.push(P::NAME);
        (self.lane_ids.len() - 1) as u16
    }
}

/// The place of one component in its machine, while it is being built.
pub struct Site<'y> {
    pub(crate) yard: &'y mut Yard,
    pub(crate) part: usize,
    pub(crate) index: usize,
    pub(crate) shard: usize,
    /// Flat number within the shard.
    pub(crate) flat: u32,
    pub(crate) path: String,
}

impl Site<'_> {
    /// Declares an input: a FIFO of `capacity` messages (at least 1).
    ///
    /// The sender holds one credit for every slot, and a credit is away for the link's latency, the wait here and the
    /// way back: full throughput of one message a cycle needs `capacity ≥ latency + wait + credit latency`.
    pub fn input<P: Payload>(&mut self, name: &str, capacity: u16) -> In<P> {
        self.input_slot(name, 0, capacity)
    }

    /// Declares an array of `n` inputs under one name.
    pub fn inputs<P: Payload>(&mut self, name: &str, n: usize, capacity: u16) -> Vec<In<P>> {
        (0..n).map(|slot| self.input_slot(name, slot, capacity)).collect()
    }

    /// Declares an output.
    pub fn output<P: Payload>(&mut self, name: &str) -> Out<P> {
        self.output_slot(name, 0)
    }

    /// Declares an array of `n` outputs under one name.
    pub fn outputs<P: Payload>(&mut self, name: &str, n: usize) -> Vec<Out<P>> {
        (0..n).map(|slot| self.output_slot(name, slot)).collect()
    }

    fn input_slot<P: Payload>(&mut self, name: &str, slot: usize, capacity: u16) -> In<P> {
        let lane = self.yard.lane::<P>();
        let capacity = capacity.max(1);
        let (fifo, input) = self.yard.shards[self.shard].fabric.add_fifo::<P>(self.flat, lane, capacity);
        self.declare(name, slot, Direction::In, lane, fifo, capacity);
        In { fifo, lane, input, protocol: PhantomData }
    }

    fn output_slot<P: Payload>(&mut self, name: &str, slot: usize) -> Out<P> {
        let lane = self.yard.lane::<P>();
        let out = self.yard.shards[self.shard].fabric.add_out(self.flat, lane);
        self.declare(name, slot, Direction::Out, lane, out, 0);
        Out { out, lane, protocol: PhantomData }
    }

    fn declare(&mut self, name: &str, slot: usize, direction: Direction, lane: u16, handle: u32, capacity: u16) {
        let (component, shard) = (self.yard.topology.first(self.part) + self.index as u32, self.shard as u16);
        let slot = slot as u32;
        let port = PortDecl { component, slot, handle, name: 0, lane, shard, capacity, direction, linked: false };
        self.yard.topology.declare(self.part, name, port);
    }

    /// The component's own stream of random numbers, placed by the run's seed and the component's path.
    pub fn rng(&mut self) -> Rng {
        Rng::placed(self.yard.seed, &self.path)
    }

    /// The component's path: the part's name, with the index if the part is counted (`"sm[3]"`).
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Index within the part, row by row if it has several dimensions.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Components of the part.
    pub fn count(&self) -> usize {
        self.yard.topology.parts[self.part].components
    }

    /// Components of the part in each dimension.
    pub fn dimensions(&self) -> &[usize] {
        &self.yard.topology.parts[self.part].dimensions
    }

    /// Number of the component within the machine, as in probes.
    pub fn component_id(&self) -> crate::probe::ComponentId {
        crate::probe::ComponentId(self.yard.topology.first(self.part) + self.index as u32)
    }

    /// How wide an array of ports has to be: the size of what the machine file links to `port` of this part (which is
    /// one component). A hub that serves however many components the file asks for declares that many ports.
    pub fn linked_width(&self, port: &str) -> usize {
        self.yard.topology.width(self.part, port, &self.yard.links)
    }

    /// A resource handed to the builder, by type.
    pub fn resource<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.yard.resources.get()
    }

    /// Frequency of the component's clock at the start of the run.
    pub fn clock_hz(&self) -> u64 {
        let domain = self.yard.topology.parts[self.part].domain;
        self.yard.shards[self.shard].fabric.clocks[domain].hertz()
    }

    /// The same in megahertz.
    pub fn clock_mhz(&self) -> f64 {
        self.clock_hz() as f64 / 1e6
    }

    /// Takes on foreground work that is outstanding from the start (D7).
    pub fn foreground(&mut self, n: u32) {
        self.yard.shards[self.shard].fabric.work.begin(self.flat, n);
    }
}
