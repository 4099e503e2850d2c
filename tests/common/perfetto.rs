//! A strict reader of Perfetto traces, down to the wire format of protocol buffers: every field is known and of the right
//! type, packets are in the order of time, slices are balanced.
//!
//! Written from `protos/perfetto/trace/` in github.com/google/perfetto, not from the writer.

use std::collections::BTreeMap;

/// A field's value.
#[derive(Clone, Copy, Debug)]
enum Wire<'a> {
    Number(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn number(self) -> u64 {
        match self {
            Wire::Number(number) => number,
            other => panic!("{other:?} is no number"),
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Wire::Bytes(bytes) => bytes,
            other => panic!("{other:?} is no message"),
        }
    }

    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("text")
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a number ends");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number of more than ten bytes");
}

/// Fields of a message in their order.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Wire<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let value = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)),
            1 => {
                let (value, rest) = bytes.split_at(8);
                bytes = rest;
                Wire::Double(f64::from_le_bytes(value.try_into().expect("eight bytes")))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Wire::Bytes(value)
            }
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, value));
    }
    fields
}

#[derive(Debug, Default)]
pub struct Track {
    pub name: String,
    pub parent: Option<u64>,
    /// Unit of a counter.
    pub unit: Option<String>,
    /// Depth (0 outermost), name, from, to; a moment ends when it begins.
    pub slices: Vec<(usize, String, u64, u64)>,
    pub samples: Vec<(u64, f64)>,
}

/// Reads a trace: tracks by their names from the top, joined with `/`.
///
/// # Panics
/// Where the trace is not one that Perfetto would show as meant.
pub fn read(trace: &[u8]) -> BTreeMap<String, Track> {
    let mut tracks: BTreeMap<u64, Track> = BTreeMap::new();
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    let mut open: BTreeMap<u64, Vec<(String, u64)>> = BTreeMap::new();
    let mut now = 0;
    for (number, packet) in fields(trace) {
        assert_eq!(number, 1, "Trace.packet");
        let (mut at, mut event, mut sequence) = (None, None, None);
        for (field, value) in fields(packet.bytes()) {
            match field {
                8 => at = Some(value.number()),
                10 => sequence = Some(value.number()),
                11 => event = Some(value.bytes()),
                12 => {
                    for (field, value) in fields(value.bytes()) {
                        assert_eq!(field, 2, "InternedData.event_names");
                        let name: BTreeMap<u64, Wire<'_>> = fields(value.bytes()).into_iter().collect();
                        let before = names.insert(name[&1].number(), name[&2].text());
                        assert_eq!(before, None, "a name is interned once");
                    }
                }
                13 => assert!([1, 2].contains(&value.number()), "TracePacket.sequence_flags"),
                60 => track(value.bytes(), &mut tracks),
                other => panic!("TracePacket has no field {other} that is written here"),
            }
        }
        assert_eq!(sequence, Some(1), "one writer");
        let at = at.expect("every packet has a time");
        assert!(at >= now, "time runs backwards from {now} to {at}");
        now = at;
        let Some(event) = event else { continue };
        let event: BTreeMap<u64, Wire<'_>> = fields(event).into_iter().collect();
        assert!(event.keys().all(|field| [9, 10, 11, 44].contains(field)), "{event:?}");
        let id = event[&11].number();
        let on = tracks.get_mut(&id).expect("a track is declared before its events");
        let name = || names[&event[&10].number()].clone();
        assert_eq!(on.unit.is_some(), event[&9].number() == 4, "counters have samples and only they");
        let stack = open.entry(id).or_default();
        match event[&9].number() {
            1 => stack.push((name(), at)),
            2 => {
                let (name, since) = stack.pop().expect("a slice is open");
                assert!(since < at, "a slice without length: {name} at {at}");
                on.slices.push((stack.len(), name, since, at));
            }
            3 => on.slices.push((stack.len(), name(), at, at)),
            4 => {
                let Wire::Double(value) = event[&44] else { panic!("{event:?}") };
                assert!(value.is_finite() && value >= 0.0, "{value}");
                on.samples.push((at, value));
            }
            other => panic!("TrackEvent.type {other}"),
        }
    }
    assert!(open.values().all(Vec::is_empty), "slices that never end: {open:?}");
    let path = |mut id: u64| {
        let mut path = Vec::new();
        loop {
            path.push(tracks[&id].name.as_str());
            match tracks[&id].parent {
                Some(parent) => id = parent,
                None => break,
            }
        }
        path.pop();
        path.reverse();
        path.join("/")
    };
    let paths: Vec<(u64, String)> = tracks.keys().map(|id| (*id, path(*id))).collect();
    paths.into_iter().map(|(id, path)| (path, tracks.remove(&id).expect("its own"))).collect()
}

fn track(descriptor: &[u8], tracks: &mut BTreeMap<u64, Track>) {
    let mut read = Track::default();
    let mut id = None;
    for (field, value) in fields(descriptor) {
        match field {
            1 => id = Some(value.number()),
            2 => read.name = value.text(),
            5 => read.parent = Some(value.number()),
            8 => {
                let unit = fields(value.bytes());
                assert!(unit.len() == 1 && unit[0].0 == 6, "CounterDescriptor.unit_name");
                read.unit = Some(unit[0].1.text());
            }
            11 | 12 => {}
            other => panic!("TrackDescriptor has no field {other} that is written here"),
        }
    }
    assert!(read.parent.is_none_or(|parent| tracks.contains_key(&parent)), "a parent comes first");
    assert!(tracks.insert(id.expect("an identity"), read).is_none(), "a track is declared once");
}
