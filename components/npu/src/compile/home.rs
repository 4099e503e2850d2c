//! Where tensors lie between operators: in the scratchpads while there is room, else in DDR.

use workloads::tensor::{Graph, OperatorKind, Role, TensorId};

use super::emit::Group;
use crate::tiled::TiledSpec;

/// How a tensor lies in the scratchpads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A part in each tile, of its rows.
    Sliced,
    /// All of it in every tile.
    Whole,
}

/// A tensor in the scratchpads.
#[derive(Debug, Clone)]
pub struct Resident {
    pub layout: Layout,
    pub bytes_per_tile: u64,
    /// It is there when these have ended.
    pub ready: Group,
}

/// One tensor that has bytes of its own: no view of another, no concatenation.
#[derive(Debug, Clone, Default)]
pub struct Home {
    pub bytes: u64,
    pub resident: Option<Resident>,
    /// It is in DDR when these have ended.
    pub in_ddr: Option<Group>,
    /// The last operator that reads it.
    pub last_use: usize,
    /// Some operator needs all of it in every tile.
    pub wanted_whole: bool,
    /// Leaves the network, or is read where only DDR is looked for.
    pub goes_to_ddr: bool,
}

/// The homes of all tensors of a network.
pub struct Homes {
    homes: Vec<Home>,
    /// What each tensor consists of, as indices into `homes`.
    parts: Vec<Vec<u32>>,
    operator: usize,
    capacity: u64,
}

impl Homes {
    pub fn new(graph: &Graph, spec: &TiledSpec) -> Self {
        let mut homes = vec![Home::default(); graph.tensors.len()];
        let mut parts: Vec<Vec<u32>> = (0..graph.tensors.len() as u32).map(|index| vec![index]).collect();
        for (home, tensor) in homes.iter_mut().zip(&graph.tensors) {
            home.bytes = tensor.bytes();
            if matches!(tensor.role, Role::Input | Role::Weight) {
                home.in_ddr = Some(Group::default());
            }
        }
        for (index, operator) in graph.operators.iter().enumerate() {
            let consists_of_inputs = match &operator.kind {
                OperatorKind::View => true,
                OperatorKind::Vector(vector) => vector.function == "concat",
                _ => false,
            };
            let is_attention = matches!(operator.kind, OperatorKind::Attention(_));
            let whole = super::mac::wants_whole(operator, spec) || is_attention;
            for &TensorId(id) in &operator.inputs {
                for &part in &parts[id as usize].clone() {
                    let home = &mut homes[part as usize];
                    home.last_use = index;
                    home.wanted_whole |= whole;
                }
            }
            if consists_of_inputs {
                let all: Vec<u32> = operator.inputs.iter().flat_map(|id| parts[id.0 as usize].clone()).collect();
                for output in &operator.outputs {
                    if graph.tensor(*output).role == Role::Output {
                        all.iter().for_each(|&part| homes[part as usize].goes_to_ddr = true);
                    }
                    parts[output.0 as usize].clone_from(&all);
                }
            }
            for output in &operator.outputs {
                homes[output.0 as usize].goes_to_ddr |= graph.tensor(*output).role == Role::Output;
            }
        }
        Self { homes, parts, operator: 0, capacity: spec.cmx_bytes() }
    }

    /// Tensors that nothing reads any more are gone. Those of the operator before stay, since this one's first transfers
    /// come while it still works.
    pub fn begin(&mut self, operator: usize) {
        self.operator = operator;
        for home in &mut self.homes {
            if home.last_use + 1 < operator {
                home.resident = None;
            }
        }
    }

    pub fn parts(&self, tensor: TensorId) -> Vec<u32> {
        self.parts[tensor.0 as usize].clone()
    }

    pub fn home(&self, part: u32) -> &Home {
        &self.homes[part as usize]
    }

    pub fn home_mut(&mut self, part: u32) -> &mut Home {
        &mut self.homes[part as usize]
    }

    /// Bytes of a tile that are not taken.
    pub fn free(&self) -> u64 {
        let taken: u64 = self.homes.iter().filter_map(|home| Some(home.resident.as_ref()?.bytes_per_tile)).sum();
        self.capacity.saturating_sub(taken)
    }

    /// What is in the scratchpads without being read by the present operator, last needed first; then what it reads.
    pub fn evictable(&self, reads: &[u32]) -> Option<u32> {
        let residents = (0..self.homes.len() as u32).filter(|&part| self.homes[part as usize].resident.is_some());
        residents.max_by_key(|part| (!reads.contains(part), self.homes[*part as usize].last_use, *part))
    }

    /// Whether a tensor is read after the present operator.
    pub fn is_read_later(&self, part: u32) -> bool {
        self.homes[part as usize].last_use > self.operator
    }
}
