//! Perfetto traces: slices and counters over simulated time, in the protobuf form that <https://ui.perfetto.dev> opens.
//!
//! The writer knows nothing of what it draws. A caller declares tracks, then gives slices and samples in any order; what
//! lies outside the window is dropped, what crosses its edges is cut. Perfetto shows nanoseconds, which are too coarse for
//! a clock above 1 GHz: one nanosecond on the screen stands for one unit of the caller (a cycle), and the name of the top
//! track says so.
//!
//! Messages and field numbers are those of `protos/perfetto/trace/` in github.com/google/perfetto; only the ones used here
//! are declared.

use std::collections::BTreeMap;
use std::ops::Range;

use prost::Message;

/// All packets come from one writer.
const SEQUENCE: u32 = 1;
/// `TracePacket.SequenceFlags`: names interned before this packet are forgotten; this packet uses interned names.
const INCREMENTAL_STATE_CLEARED: u32 = 1;
const NEEDS_INCREMENTAL_STATE: u32 = 2;
/// `TrackDescriptor.ChildTracksOrdering.EXPLICIT`: as the ranks say.
const ORDER_EXPLICIT: i32 = 3;
/// `TrackEvent.Type`.
const SLICE_BEGIN: i32 = 1;
const SLICE_END: i32 = 2;
const INSTANT: i32 = 3;
const COUNTER: i32 = 4;

/// A track of a [`Timeline`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrackId(u32);

/// What happened when, bounded by a window.
#[derive(Debug)]
pub struct Timeline {
    window: Range<u64>,
    tracks: Vec<Track>,
    by_path: BTreeMap<(Option<u32>, String), u32>,
    names: Vec<String>,
    name_ids: BTreeMap<String, u32>,
    slices: Vec<Slice>,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Track {
    name: String,
    parent: Option<u32>,
    /// Unit of a counter track.
    counter: Option<String>,
}

#[derive(Debug)]
struct Slice {
    track: u32,
    name: u32,
    start: u64,
    end: u64,
}

#[derive(Debug)]
struct Sample {
    track: u32,
    at: u64,
    value: f64,
}

impl Timeline {
    /// An empty timeline for `window`, in units that `title` names, for instance `"sgemm on h100-pcie (1 ns = 1 cycle)"`.
    pub fn new(title: &str, window: Range<u64>) -> Self {
        let mut timeline = Self {
            window,
            tracks: Vec::new(),
            by_path: BTreeMap::new(),
            names: Vec::new(),
            name_ids: BTreeMap::new(),
            slices: Vec::new(),
            samples: Vec::new(),
        };
        timeline.add(None, title, None);
        timeline
    }

    /// The window, for callers that can avoid work outside it.
    pub fn window(&self) -> Range<u64> {
        self.window.clone()
    }

    /// The track below the top at a path of names, declared on first use; tracks are shown in the order of declaration.
    pub fn track(&mut self, path: &[&str]) -> TrackId {
        path.iter().fold(TrackId(0), |parent, name| self.add(Some(parent), name, None))
    }

    /// A counter track below `parent` (the top if none), with the unit shown beside it.
    pub fn counter(&mut self, parent: Option<TrackId>, name: &str, unit: &str) -> TrackId {
        self.add(parent.or(Some(TrackId(0))), name, Some(unit))
    }

    fn add(&mut self, parent: Option<TrackId>, name: &str, counter: Option<&str>) -> TrackId {
        let parent = parent.map(|parent| parent.0);
        let next = self.tracks.len() as u32;
        let id = *self.by_path.entry((parent, name.to_string())).or_insert(next);
        if id == next {
            self.tracks.push(Track { name: name.to_string(), parent, counter: counter.map(str::to_string) });
        }
        TrackId(id)
    }

    /// Something that lasts from `start` up to `end`; with `end ≤ start` it is a moment. Slices of one track must not
    /// overlap in part: they follow each other or lie one in the other; of two that are as long, the later given is outside.
    pub fn slice(&mut self, track: TrackId, name: &str, start: u64, end: u64) {
        let moment = end <= start;
        let inside =
            if moment { self.window.contains(&start) } else { start < self.window.end && end > self.window.start };
        if !inside {
            return;
        }
        let name = self.name(name);
        let (start, end) =
            if moment { (start, start) } else { (start.max(self.window.start), end.min(self.window.end)) };
        self.slices.push(Slice { track: track.0, name, start, end });
    }

    /// The value of a counter from `at` on.
    pub fn sample(&mut self, track: TrackId, at: u64, value: f64) {
        if self.window.contains(&at) {
            self.samples.push(Sample { track: track.0, at, value });
        }
    }

    /// Slices and samples so far; about 20 bytes each in the file.
    pub fn events(&self) -> usize {
        self.slices.len() + self.samples.len()
    }

    /// Times and values of the samples.
    #[cfg(test)]
    pub fn samples(&self) -> Vec<(u64, f64)> {
        self.samples.iter().map(|sample| (sample.at, sample.value)).collect()
    }

    /// Ends the window at `at`, also for what is there already.
    pub fn cut(&mut self, at: u64) {
        let end = at.clamp(self.window.start, self.window.end);
        self.window.end = end;
        self.slices.retain(|slice| slice.start < end);
        self.slices.iter_mut().for_each(|slice| slice.end = slice.end.min(end));
        self.samples.retain(|sample| sample.at < end);
    }

    fn name(&mut self, name: &str) -> u32 {
        if let Some(&id) = self.name_ids.get(name) {
            return id;
        }
        let id = self.names.len() as u32 + 1;
        self.names.push(name.to_string());
        self.name_ids.insert(name.to_string(), id);
        id
    }

    /// The trace file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let packet = |packet: TracePacket, bytes: &mut Vec<u8>| {
            Trace { packet: vec![packet] }.encode(bytes).expect("a vector grows");
        };
        packet(self.opening(), &mut bytes);
        for (index, track) in self.tracks.iter().enumerate() {
            packet(self.descriptor(index as u32, track), &mut bytes);
        }
        for event in self.in_order() {
            let (at, track_event) = event;
            let event = TracePacket {
                timestamp: Some(at),
                sequence: Some(SEQUENCE),
                sequence_flags: Some(NEEDS_INCREMENTAL_STATE),
                track_event: Some(track_event),
                ..TracePacket::default()
            };
            packet(event, &mut bytes);
        }
        bytes
    }

    /// The interned names.
    fn opening(&self) -> TracePacket {
        let names =
            self.names.iter().zip(1..).map(|(name, iid)| EventName { iid: Some(iid), name: Some(name.clone()) });
        TracePacket {
            timestamp: Some(0),
            sequence: Some(SEQUENCE),
            sequence_flags: Some(INCREMENTAL_STATE_CLEARED),
            interned_data: Some(InternedData { event_names: names.collect() }),
            ..TracePacket::default()
        }
    }

    fn descriptor(&self, index: u32, track: &Track) -> TracePacket {
        let descriptor = TrackDescriptor {
            uuid: Some(uuid(index)),
            name: Some(track.name.clone()),
            parent_uuid: track.parent.map(uuid),
            counter: track.counter.as_ref().map(|unit| CounterDescriptor { unit_name: Some(unit.clone()) }),
            child_ordering: Some(ORDER_EXPLICIT),
            sibling_order_rank: Some(index as i32),
        };
        TracePacket {
            timestamp: Some(0),
            sequence: Some(SEQUENCE),
            track_descriptor: Some(descriptor),
            ..TracePacket::default()
        }
    }

    /// In the order of time; at one time ends come before samples, samples before beginnings, inner ends before outer
    /// ones, outer beginnings before inner ones.
    fn in_order(&self) -> Vec<(u64, TrackEvent)> {
        let mut keyed = Vec::with_capacity(2 * self.slices.len() + self.samples.len());
        let event = |kind: i32, track: u32| TrackEvent {
            kind: Some(kind),
            track_uuid: Some(uuid(track)),
            ..TrackEvent::default()
        };
        for (order, slice) in self.slices.iter().enumerate() {
            let name = Some(u64::from(slice.name));
            if slice.start == slice.end {
                keyed.push(((slice.start, 3, 0, order), TrackEvent { name_iid: name, ..event(INSTANT, slice.track) }));
                continue;
            }
            let longest_first = u64::MAX - slice.end;
            let latest_first = u64::MAX - slice.start;
            keyed.push((
                (slice.start, 2, longest_first, usize::MAX - order),
                TrackEvent { name_iid: name, ..event(SLICE_BEGIN, slice.track) },
            ));
            keyed.push(((slice.end, 0, latest_first, order), event(SLICE_END, slice.track)));
        }
        for sample in &self.samples {
            let counted = TrackEvent { double_counter_value: Some(sample.value), ..event(COUNTER, sample.track) };
            keyed.push(((sample.at, 1, 0, 0), counted));
        }
        keyed.sort_by_key(|((at, rank, depth, order), event)| (*at, *rank, *depth, event.track_uuid, *order));
        keyed.into_iter().map(|((at, ..), event)| (at, event)).collect()
    }
}

/// Zero is the trace-global track.
fn uuid(track: u32) -> u64 {
    u64::from(track) + 1
}

#[derive(Clone, PartialEq, Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<TracePacket>,
}

#[derive(Clone, PartialEq, Message)]
struct TracePacket {
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    sequence: Option<u32>,
    #[prost(message, optional, tag = "11")]
    track_event: Option<TrackEvent>,
    #[prost(message, optional, tag = "12")]
    interned_data: Option<InternedData>,
    #[prost(uint32, optional, tag = "13")]
    sequence_flags: Option<u32>,
    #[prost(message, optional, tag = "60")]
    track_descriptor: Option<TrackDescriptor>,
}

#[derive(Clone, PartialEq, Message)]
struct InternedData {
    #[prost(message, repeated, tag = "2")]
    event_names: Vec<EventName>,
}

#[derive(Clone, PartialEq, Message)]
struct EventName {
    #[prost(uint64, optional, tag = "1")]
    iid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct TrackDescriptor {
    #[prost(uint64, optional, tag = "1")]
    uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "5")]
    parent_uuid: Option<u64>,
    #[prost(message, optional, tag = "8")]
    counter: Option<CounterDescriptor>,
    #[prost(int32, optional, tag = "11")]
    child_ordering: Option<i32>,
    #[prost(int32, optional, tag = "12")]
    sibling_order_rank: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct CounterDescriptor {
    #[prost(string, optional, tag = "6")]
    unit_name: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct TrackEvent {
    #[prost(int32, optional, tag = "9")]
    kind: Option<i32>,
    #[prost(uint64, optional, tag = "10")]
    name_iid: Option<u64>,
    #[prost(uint64, optional, tag = "11")]
    track_uuid: Option<u64>,
    #[prost(double, optional, tag = "44")]
    double_counter_value: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader of the file sees: (time, kind, track name, event name or value).
    fn read_back(bytes: &[u8]) -> Vec<(u64, i32, String, String)> {
        let trace = Trace::decode(bytes).unwrap();
        let mut tracks = BTreeMap::new();
        let mut names = BTreeMap::new();
        let mut events = Vec::new();
        for packet in trace.packet {
            assert_eq!(packet.sequence, Some(SEQUENCE));
            for name in packet.interned_data.into_iter().flat_map(|data| data.event_names) {
                names.insert(name.iid.unwrap(), name.name.unwrap());
            }
            if let Some(track) = packet.track_descriptor {
                if let Some(parent) = track.parent_uuid {
                    assert!(tracks.contains_key(&parent), "a parent is declared before its children");
                }
                tracks.insert(track.uuid.unwrap(), track.name.unwrap());
            }
            if let Some(event) = packet.track_event {
                let label = match (event.name_iid, event.double_counter_value) {
                    (Some(iid), _) => names[&iid].clone(),
                    (None, Some(value)) => value.to_string(),
                    (None, None) => String::new(),
                };
                let track = tracks[&event.track_uuid.unwrap()].clone();
                events.push((packet.timestamp.unwrap(), event.kind.unwrap(), track, label));
            }
        }
        events
    }

    fn row(at: u64, kind: i32, track: &str, label: &str) -> (u64, i32, String, String) {
        (at, kind, track.to_string(), label.to_string())
    }

    #[test]
    fn a_reader_sees_what_was_written_in_the_order_of_time() {
        let mut timeline = Timeline::new("test (1 ns = 1 cycle)", 0..100);
        let warp = timeline.track(&["sm 0", "warp 3"]);
        let occupancy = timeline.counter(None, "warps", "warps");
        timeline.slice(warp, "FADD", 20, 24);
        timeline.slice(warp, "FFMA", 10, 20);
        timeline.slice(warp, "EXIT", 30, 30);
        timeline.sample(occupancy, 10, 2.5);
        assert_eq!(
            read_back(&timeline.encode()),
            [
                row(10, COUNTER, "warps", "2.5"),
                row(10, SLICE_BEGIN, "warp 3", "FFMA"),
                row(20, SLICE_END, "warp 3", ""),
                row(20, SLICE_BEGIN, "warp 3", "FADD"),
                row(24, SLICE_END, "warp 3", ""),
                row(30, INSTANT, "warp 3", "EXIT"),
            ]
        );
    }

    #[test]
    fn the_window_cuts_and_drops() {
        let mut timeline = Timeline::new("test", 10..20);
        let track = timeline.track(&["sm 0"]);
        timeline.slice(track, "before", 0, 10);
        timeline.slice(track, "across", 5, 12);
        timeline.slice(track, "over the end", 18, 40);
        timeline.slice(track, "after", 20, 30);
        timeline.slice(track, "moment at the end", 20, 20);
        let counter = timeline.counter(Some(track), "bytes", "bytes");
        timeline.sample(counter, 25, 1.0);
        assert_eq!(
            read_back(&timeline.encode()),
            [
                row(10, SLICE_BEGIN, "sm 0", "across"),
                row(12, SLICE_END, "sm 0", ""),
                row(18, SLICE_BEGIN, "sm 0", "over the end"),
                row(20, SLICE_END, "sm 0", ""),
            ]
        );
    }

    #[test]
    fn a_cut_ends_the_window() {
        let mut timeline = Timeline::new("test", 0..100);
        let track = timeline.track(&[]);
        timeline.slice(track, "a", 0, 10);
        timeline.slice(track, "b", 10, 20);
        timeline.slice(track, "c", 20, 30);
        timeline.cut(15);
        timeline.slice(track, "d", 15, 16);
        let seen: Vec<_> = read_back(&timeline.encode()).into_iter().map(|event| (event.0, event.3)).collect();
        let expected = [(0, "a"), (10, ""), (10, "b"), (15, "")].map(|(at, name)| (at, name.to_string()));
        assert_eq!(seen, expected);
    }

    #[test]
    fn nested_slices_open_outside_in_and_close_inside_out() {
        let mut timeline = Timeline::new("test", 0..100);
        let track = timeline.track(&["sm 0"]);
        timeline.slice(track, "inner", 10, 20);
        timeline.slice(track, "outer", 10, 30);
        timeline.slice(track, "outmost", 10, 30);
        timeline.slice(track, "last", 25, 30);
        let labels: Vec<_> = read_back(&timeline.encode()).into_iter().map(|e| (e.0, e.3)).collect();
        let expected =
            [(10, "outmost"), (10, "outer"), (10, "inner"), (20, ""), (25, "last"), (30, ""), (30, ""), (30, "")]
                .map(|(t, s)| (t, s.to_string()));
        assert_eq!(labels, expected);
    }

    #[test]
    fn a_path_names_one_track() {
        let mut timeline = Timeline::new("test", 0..100);
        assert_eq!(timeline.track(&["sm 0", "warp 1"]), timeline.track(&["sm 0", "warp 1"]));
        assert_ne!(timeline.track(&["sm 0", "warp 1"]), timeline.track(&["sm 1", "warp 1"]));
    }

    /// The bytes that `perfetto_trace_pb2` of the Python package perfetto 0.59.1 reads as: name 1 = "a"; track 1 "t";
    /// track 2 "c" below it, a counter in "B"; at 1 counter 2 = 0.5 and a slice of name 1 on track 1, which ends at 2.
    /// Reading back with our own messages would not notice a wrong field number.
    #[test]
    fn field_numbers_are_those_of_perfetto() {
        let mut timeline = Timeline::new("t", 0..10);
        let top = timeline.track(&[]);
        let counter = timeline.counter(None, "c", "B");
        timeline.slice(top, "a", 1, 2);
        timeline.sample(counter, 1, 0.5);
        let hex: String = timeline.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0a0f4000500162071205080112016168010a1040005001e203090801120174580360000a1740005001e20310080212016328014203320142580360010a16400150015a0e48045802e102000000000000e03f68020a0e400150015a0648015001580168020a0c400250015a04480258016802"
        );
    }
}
