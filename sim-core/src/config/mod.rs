//! Reading configuration: TOML with places, inheritance, overrides, and errors that say where and what to do.
//!
//! ```text
//!   file ─▶ parse ─▶ lay over `base` ─▶ take out `origin` ─▶ `--set` ─▶ Document ─▶ read as any Deserialize
//! ```
//! Every value keeps the place it was written at through all of this, so that an unknown key of an inherited file is
//! shown in that file. Start reading at [`Document::load`].

mod de;
mod error;
mod inherit;
mod load;
mod machine_file;
mod suggest;
mod tree;

pub use de::{NodeDeserializer, NodeError};
pub use error::{ConfigError, Place, Problem, Source};
pub use load::{Document, Resolve, read_node};
pub use machine_file::{ClockSpec, LinkSpec, MachineFile, PartSpec};
pub use suggest::{did_you_mean, nearest};
pub use tree::{Entry, Node, Value};
