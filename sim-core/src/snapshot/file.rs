//! A snapshot as a file.
//!
//! ```text
//!   magic 8 │ format 4 │ length 8 │ checksum 32 │ body: zstd of header and state
//! ```
//! Numbers are little-endian. The checksum (BLAKE3) is over the body as it lies in the file, so that nothing of a damaged
//! file is unpacked or interpreted.

use super::codec::{Reader, Writer};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"orrery\x1as";
/// Rises when the layout of a snapshot changes.
const FORMAT: u32 = 1;
const PREFIX: usize = MAGIC.len() + 4 + 8 + blake3::OUT_LEN;
/// Fast, and about half of what is in reach.
const ZSTD_LEVEL: i32 = 3;

/// What a snapshot is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Program and version that wrote it. Another one may count differently, so that its snapshots are refused.
    pub program: String,
    /// What the run is a function of, by name: hashes of the machine and the workload, the seed.
    pub inputs: Vec<(String, String)>,
    /// Cycle of the machine's main clock, for messages.
    pub cycle: u64,
    /// How the run was asked for, in a form of the caller's: enough to build the machine again.
    pub request: String,
}

/// A saved run: what it is of, and the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is of.
    pub header: Header,
    /// What [`Machine::save`](crate::Machine::save) gave.
    pub state: Vec<u8>,
}

/// Why a file is no snapshot that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It does not begin like one.
    #[error("this is no snapshot of a run")]
    Foreign,
    /// Its layout is another.
    #[error("the snapshot has format {found}, this program reads format {FORMAT}")]
    Format {
        /// Of the file.
        found: u32,
    },
    /// It ends too early or too late.
    #[error("the snapshot is {found} bytes long instead of {expected}: it was not copied as a whole")]
    Length {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        expected: u64,
    },
    /// Some bytes are not those that were written.
    #[error("the snapshot is damaged: its checksum is wrong")]
    Checksum,
    /// The checksum is right, but not what is inside.
    #[error("the snapshot cannot be unpacked: {0}")]
    Body(String),
    /// Another program or version wrote it.
    #[error("the snapshot was written by {found}, this is {expected}")]
    Program {
        /// Who wrote it.
        found: String,
        /// Who reads it.
        expected: String,
    },
    /// It is of another run.
    #[error("the snapshot is of another {what}")]
    Input {
        /// What differs: machine, workload or seed.
        what: String,
    },
}

impl Snapshot {
    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut inside = Writer::new();
        inside.put(&self.header);
        inside.put_bytes(&self.state);
        let body = zstd::bulk::compress(&inside.into_bytes(), ZSTD_LEVEL).expect("memory is always written");
        let mut file = Vec::with_capacity(PREFIX + body.len());
        file.extend_from_slice(MAGIC);
        file.extend_from_slice(&FORMAT.to_le_bytes());
        file.extend_from_slice(&(body.len() as u64).to_le_bytes());
        file.extend_from_slice(blake3::hash(&body).as_bytes());
        file.extend_from_slice(&body);
        file
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is none, damaged, or of another format.
    pub fn from_bytes(file: &[u8]) -> Result<Snapshot, SnapshotError> {
        let rest = file.strip_prefix(MAGIC).ok_or(SnapshotError::Foreign)?;
        let short = || SnapshotError::Length { found: file.len(), expected: PREFIX as u64 };
        let (format, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let found = u32::from_le_bytes(*format);
        if found != FORMAT {
            return Err(SnapshotError::Format { found });
        }
        let (length, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (checksum, body) = rest.split_first_chunk::<{ blake3::OUT_LEN }>().ok_or_else(short)?;
        let length = u64::from_le_bytes(*length);
        if body.len() as u64 != length {
            let expected = length.saturating_add(PREFIX as u64);
            return Err(SnapshotError::Length { found: file.len(), expected });
        }
        if blake3::hash(body) != blake3::Hash::from_bytes(*checksum) {
            return Err(SnapshotError::Checksum);
        }
        let wrong = |e: &dyn std::fmt::Display| SnapshotError::Body(e.to_string());
        let inside = zstd::decode_all(body).map_err(|e| wrong(&e))?;
        let mut from = Reader::new(&inside);
        let header = from.get().map_err(|e| wrong(&e))?;
        let state = from.get_bytes().map_err(|e| wrong(&e))?.to_vec();
        from.finish().map_err(|e| wrong(&e))?;
        Ok(Snapshot { header, state })
    }

    /// Whether it can go on in a run of `inputs` with `program`.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, program: &str, inputs: &[(String, String)]) -> Result<(), SnapshotError> {
        if self.header.program != program {
            let (found, expected) = (self.header.program.clone(), program.to_string());
            return Err(SnapshotError::Program { found, expected });
        }
        let same = |(name, value): &&(String, String)| {
            self.header.inputs.iter().any(|(found, its)| found == name && its == value)
        };
        match inputs.iter().find(|input| !same(input)) {
            None => Ok(()),
            Some((what, _)) => Err(SnapshotError::Input { what: what.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Snapshot {
        let inputs = vec![("machine".to_string(), "ab".to_string()), ("seed".to_string(), "1".to_string())];
        let header = Header { program: "orrery 1".to_string(), inputs, cycle: 77, request: "{}".to_string() };
        Snapshot { header, state: (0..500_u32).map(|i| (i / 7) as u8).collect() }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        assert_eq!(Snapshot::from_bytes(&example().to_bytes()), Ok(example()));
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_found() {
        let file = example().to_bytes();
        for end in 0..file.len() {
            assert!(Snapshot::from_bytes(&file[..end]).is_err(), "cut at {end}");
        }
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                assert!(Snapshot::from_bytes(&damaged).is_err(), "bit {bit} of byte {at}");
            }
        }
        assert!(Snapshot::from_bytes(&[&file[..], b"x"].concat()).is_err());
        assert_eq!(Snapshot::from_bytes(b"not one at all"), Err(SnapshotError::Foreign));
    }

    #[test]
    fn what_differs_is_named() {
        let input = |name: &str, value: &str| (name.to_string(), value.to_string());
        let snapshot = example();
        let same = [input("machine", "ab"), input("seed", "1")];
        assert_eq!(snapshot.check("orrery 1", &same), Ok(()));
        let error =
            |program: &str, inputs: &[(String, String)]| snapshot.check(program, inputs).unwrap_err().to_string();
        assert_eq!(error("orrery 2", &same), "the snapshot was written by orrery 1, this is orrery 2");
        assert_eq!(error("orrery 1", &[input("machine", "ab"), input("seed", "2")]), "the snapshot is of another seed");
    }

    proptest! {
        #[test]
        fn any_bytes_behind_a_right_beginning_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let file = [MAGIC, &FORMAT.to_le_bytes()[..], &bytes[..]].concat();
            prop_assert!(Snapshot::from_bytes(&file).is_err());
        }
    }
}
