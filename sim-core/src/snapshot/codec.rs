//! Writing and reading the state of one thing after the other.
//!
//! The encoding is that of `postcard`: small, without names. Hence what is read must be what was written, field by field,
//! which [`saved!`](crate::saved) sees to.

use crate::site::Resources;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::sync::Arc;

/// Why a state could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It belongs to another machine.
    #[error("the snapshot has {found} {what}, the machine {expected}")]
    Count {
        /// What is counted, in the plural.
        what: &'static str,
        /// In the snapshot.
        found: usize,
        /// In the machine.
        expected: usize,
    },
    /// Not what was written, or written by another version.
    #[error("{place}: {problem}")]
    State {
        /// Whose state, e.g. `"sm[3]"`.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The machine has run already.
    #[error("a snapshot is loaded into a machine that has not run yet")]
    NotFresh,
}

impl LoadError {
    /// A state that cannot be.
    pub fn invalid(problem: impl Into<String>) -> LoadError {
        LoadError::State { place: "state".to_string(), problem: problem.into() }
    }

    /// The same, found in the state of `place`.
    #[must_use]
    pub fn at(self, place: &str) -> LoadError {
        match self {
            LoadError::State { problem, .. } => LoadError::State { place: place.to_string(), problem },
            LoadError::Count { .. } => LoadError::State { place: place.to_string(), problem: self.to_string() },
            LoadError::NotFresh => self,
        }
    }
}

/// Takes down a state.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Nothing written yet.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Writes plain data.
    ///
    /// # Panics
    /// If the data cannot be encoded at all, such as a sequence of unknown length: a fault of its type.
    pub fn put<T: Serialize + ?Sized>(&mut self, value: &T) {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(value, bytes)
            .unwrap_or_else(|e| panic!("{} cannot be saved: {e}", std::any::type_name::<T>()));
    }

    /// Writes bytes as they are, with their number before them.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        self.put(&bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads a state back in the order in which it was written.
pub struct Reader<'b> {
    rest: &'b [u8],
    lent: Resources,
}

impl<'b> Reader<'b> {
    /// Reads what a [`Writer`] wrote.
    pub fn new(bytes: &'b [u8]) -> Reader<'b> {
        Reader { rest: bytes, lent: Resources::new() }
    }

    /// Lends something immutable that loaded states refer to, such as the tables of a kernel.
    pub fn lend<T: Any + Send + Sync>(&mut self, what: Arc<T>) {
        self.lent.insert(what);
    }

    /// What was lent.
    ///
    /// # Errors
    /// Nothing of that type was.
    pub fn lent<T: Any + Send + Sync>(&self) -> Result<Arc<T>, LoadError> {
        let missing = || LoadError::invalid(format!("refers to a {}, but there is none", std::any::type_name::<T>()));
        self.lent.get().ok_or_else(missing)
    }

    /// Reads plain data.
    ///
    /// # Errors
    /// The bytes are no `T`.
    pub fn get<T: DeserializeOwned>(&mut self) -> Result<T, LoadError> {
        let (value, rest) = postcard::take_from_bytes(self.rest)
            .map_err(|e| LoadError::invalid(format!("is no {}: {e}", std::any::type_name::<T>())))?;
        self.rest = rest;
        Ok(value)
    }

    /// Reads what [`Writer::put_bytes`] wrote.
    ///
    /// # Errors
    /// There are not as many.
    pub fn get_bytes(&mut self) -> Result<&'b [u8], LoadError> {
        let count: usize = self.get()?;
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or_else(|| LoadError::invalid("ends too early"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Everything was read.
    ///
    /// # Errors
    /// Something is left, so that the state is another one than was thought.
    pub fn finish(self) -> Result<(), LoadError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(LoadError::invalid(format!("has {left} bytes too many"))),
        }
    }
}

/// State that is saved, and loaded into a thing that was built from the same parameters.
///
/// Written with [`saved!`](crate::saved) for structures, by hand only where the state has a form of its own. Loading what
/// another thing saved may give an error or nonsense, but no undefined behaviour; a snapshot's checksum and its hash of
/// the configuration keep that from happening. After an error the thing is half loaded and of no use.
pub trait Saved {
    /// Writes the state down.
    fn save(&self, out: &mut Writer);

    /// Takes the state on.
    ///
    /// # Errors
    /// It does not fit.
    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), LoadError>;
}

/// Implements [`Saved`](crate::Saved) for a structure by naming **all** of its fields once; a field that is not named does
/// not compile.
///
/// * `state`: plain data, written and read whole (`Serialize` and `DeserializeOwned`);
/// * `sized`: lists of plain data whose length the parameters give; another length is refused;
/// * `parts`: things with state of their own ([`Saved`](crate::Saved)), loaded in place; lists of them keep their length;
/// * `by`: a module with functions `save(&T, &mut Writer)` and `load(&mut T, &mut Reader)`;
/// * `rebuilt`: parameters, ports, tables and scratch, which building gives again.
///
/// ```
/// struct Counter { step: u64, total: u64, seen: Vec<u32> }
/// sim_core::saved!(Counter { state: total, seen; rebuilt: step });
/// ```
#[macro_export]
macro_rules! saved {
    ($type:ident $(<$generic:ident $(: $bound:path)?>)? {
        $($kind:ident $($through:path)?: $($field:ident),+);+ $(;)?
    }) => {
        impl $(<$generic $(: $bound)?>)? $crate::Saved for $type $(<$generic>)? {
            fn save(&self, out: &mut $crate::Writer) {
                let Self { $($($field,)+)+ } = self;
                $($crate::saved!(@save $kind [$($through)?] $($field)+, out);)+
            }

            fn load(&mut self, from: &mut $crate::Reader<'_>) -> Result<(), $crate::LoadError> {
                let Self { $($($field,)+)+ } = self;
                $($crate::saved!(@load $kind [$($through)?] $($field)+, from);)+
                Ok(())
            }
        }
    };
    (@save state [] $($field:ident)+, $out:ident) => { $($out.put($field);)+ };
    (@save sized [] $($field:ident)+, $out:ident) => { $($out.put(&$field[..]);)+ };
    (@save parts [] $($field:ident)+, $out:ident) => { $($crate::Saved::save($field, $out);)+ };
    (@save by [$through:path] $($field:ident)+, $out:ident) => {{
        use $through as through;
        $(through::save($field, $out);)+
    }};
    (@save rebuilt [] $($field:ident)+, $out:ident) => { let _ = ($($field,)+ &$out); };
    (@load state [] $($field:ident)+, $from:ident) => { $(*$field = $from.get()?;)+ };
    (@load sized [] $($field:ident)+, $from:ident) => { $($crate::snapshot::load_sized(&mut $field[..], $from)?;)+ };
    (@load parts [] $($field:ident)+, $from:ident) => { $($crate::Saved::load($field, $from)?;)+ };
    (@load by [$through:path] $($field:ident)+, $from:ident) => {{
        use $through as through;
        $(through::load($field, $from)?;)+
    }};
    (@load rebuilt [] $($field:ident)+, $from:ident) => { let _ = ($($field,)+ &$from); };
}

/// Reads a list of plain data that must be as long as it is.
#[doc(hidden)]
pub fn load_sized<T: DeserializeOwned>(place: &mut [T], from: &mut Reader<'_>) -> Result<(), LoadError> {
    let list: Vec<T> = from.get()?;
    if list.len() != place.len() {
        return Err(LoadError::Count { what: "entries of a table", found: list.len(), expected: place.len() });
    }
    place.iter_mut().zip(list).for_each(|(place, value)| *place = value);
    Ok(())
}

impl<T: Saved> Saved for [T] {
    fn save(&self, out: &mut Writer) {
        out.put(&self.len());
        self.iter().for_each(|part| part.save(out));
    }

    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), LoadError> {
        let found: usize = from.get()?;
        if found != self.len() {
            return Err(LoadError::Count { what: "parts", found, expected: self.len() });
        }
        self.iter_mut().try_for_each(|part| part.load(from))
    }
}

impl<T: Saved> Saved for Vec<T> {
    fn save(&self, out: &mut Writer) {
        self.as_slice().save(out);
    }

    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), LoadError> {
        self.as_mut_slice().load(from)
    }
}

impl<T: Saved, const N: usize> Saved for [T; N] {
    fn save(&self, out: &mut Writer) {
        self.as_slice().save(out);
    }

    fn load(&mut self, from: &mut Reader<'_>) -> Result<(), LoadError> {
        self.as_mut_slice().load(from)
    }
}

/// Nothing has no state.
impl Saved for () {
    fn save(&self, _out: &mut Writer) {}

    fn load(&mut self, _from: &mut Reader<'_>) -> Result<(), LoadError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq)]
    struct Inner {
        width: usize,
        list: Vec<u32>,
    }
    crate::saved!(Inner { state: list; rebuilt: width });

    #[derive(Debug, PartialEq)]
    struct Outer {
        total: u64,
        table: Vec<u8>,
        inner: [Inner; 2],
        name: String,
    }
    crate::saved!(Outer { state: total; sized: table; parts: inner; rebuilt: name });

    fn outer(total: u64, list: &[u32]) -> Outer {
        let inner = |width| Inner { width, list: list.to_vec() };
        Outer { total, table: vec![total as u8; 4], inner: [inner(1), inner(2)], name: "x".into() }
    }

    fn saved(outer: &Outer) -> Vec<u8> {
        let mut out = Writer::new();
        outer.save(&mut out);
        out.into_bytes()
    }

    #[test]
    fn state_is_loaded_and_parameters_stay() {
        let bytes = saved(&outer(7, &[1, 2, 300]));
        let mut other = Outer { name: "y".into(), ..outer(0, &[]) };
        let mut from = Reader::new(&bytes);
        other.load(&mut from).unwrap();
        from.finish().unwrap();
        assert_eq!(other, Outer { name: "y".into(), ..outer(7, &[1, 2, 300]) });
    }

    #[test]
    fn a_table_of_another_size_is_refused() {
        let bytes = saved(&outer(7, &[]));
        let mut other = Outer { table: vec![0; 5], ..outer(0, &[]) };
        let error = other.load(&mut Reader::new(&bytes)).unwrap_err();
        assert_eq!(error.to_string(), "the snapshot has 4 entries of a table, the machine 5");
    }

    proptest! {
        /// Whatever the bytes, reading ends with a value or an error.
        #[test]
        fn reading_any_bytes_ends(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut from = Reader::new(&bytes);
            if outer(0, &[]).load(&mut from).is_ok() {
                let _ = from.finish();
            }
        }
    }
}
