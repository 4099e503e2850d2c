//! One slice in front of a memory of fixed latency, in closed form.

use cache::fixed::FixedMemory;
use cache::l2::Slice;
use protocol::{HostWrite, HostWrites, MemOp, MemRequest, MemResponse};
use serde::Deserialize;
use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, Detail, Femtos, In, Machine, MachineFile, Out, Plan, Registry,
    Resources, Site, StatsNode, StopAt,
};
use std::sync::Arc;

/// (cycle, what, address, sectors): sent in that cycle or as soon as there is room.
type Script = Vec<(u64, MemOp, u64, u8)>;

struct Source {
    request: Out<MemRequest>,
    response: In<MemResponse>,
    script: Arc<Script>,
    sent: usize,
    answered: Vec<(u64, MemResponse)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Component for Source {
    const KIND: &'static str = "test.source";
    type Spec = Nothing;

    fn build(_: Nothing, site: &mut Site<'_>) -> Result<Self, BuildError> {
        site.foreground(1);
        let script = site.resource().unwrap();
        Ok(Self { request: site.output("req"), response: site.input("resp", 64), script, sent: 0, answered: vec![] })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let now = cx.now().0;
        while let Some(answer) = cx.take(self.response) {
            self.answered.push((now, answer));
            if self.answered.len() == self.script.len() {
                cx.end_work(1);
            }
        }
        while let Some(&(at, op, address, sectors)) = self.script.get(self.sent) {
            if at > now || cx.room(self.request) == 0 {
                return Activity::input().or_credit().or_until(Cycle(at));
            }
            let (id, bytes) = (self.sent as u64, sectors.count_ones() * 32);
            cx.send(self.request, MemRequest { id, source: 0, address, bytes, sectors, op });
            self.sent += 1;
        }
        Activity::input()
    }

    fn report(&self, _at: Cycle, _out: &mut StatsNode) {}
}

sim_core::saved!(Source { state: sent, answered; rebuilt: request, response, script });

const LINKS: u64 = 2;
const HIT: u64 = 30;
/// Miss and fill in the slice, links and latency of the memory.
const MISS: u64 = 10 + 3 + 100 + 4 + 20;
const ATOMIC: u64 = 7;

/// Cycle of each answer by request, and the counters.
fn run(script: Script, capacity_kib: u32, more: &str) -> (Vec<u64>, StatsNode) {
    run_after(HostWrites::default(), script, capacity_kib, more)
}

/// As [`run`], after what the host has written.
fn run_after(host: HostWrites, script: Script, capacity_kib: u32, more: &str) -> (Vec<u64>, StatsNode) {
    let text = format!(
        "[clock.core]\nmhz = 1000\n[part.cpu]\nkind = \"test.source\"\nclock = \"core\"\n\
         [part.l2]\nkind = \"cache.l2\"\nclock = \"core\"\ncapacity_kib = {capacity_kib}\nways = 2\npartitions = 1\n\
         slice_granule_bytes = 128\nslices_per_channel = 1\nhit_latency_cycles = {HIT}\nmiss_latency_cycles = 10\n\
         fill_latency_cycles = 20\natomic_latency_cycles = {ATOMIC}\nbytes_per_cycle = 64.0\n\
         atomic_bytes_per_cycle = 32.0\nmiss_entries = 8\nmerges_per_line = 4\n{more}\n\
         [part.memory]\nkind = \"memory.fixed\"\nclock = \"core\"\nlatency_cycles = 100\nbandwidth_gb_per_s = 1000.0\n\
         [[link]]\nfrom = \"cpu.req\"\nto = \"l2.req\"\nlatency_cycles = 1\n\
         [[link]]\nfrom = \"l2.resp\"\nto = \"cpu.resp\"\nlatency_cycles = 1\n\
         [[link]]\nfrom = \"l2.mem_req\"\nto = \"memory.req\"\nlatency_cycles = 3\n\
         [[link]]\nfrom = \"memory.resp\"\nto = \"l2.mem_resp\"\nlatency_cycles = 4\n"
    );
    let file = MachineFile::parse("test.toml", &text).unwrap();
    let mut kinds = Registry::new();
    kinds.add::<Source>().add::<Slice>().add::<FixedMemory>();
    let bag = Resources::new().with(Arc::new(script)).with(Arc::new(host));
    let mut machine = Machine::build(&file, &kinds, bag, Plan::serial()).unwrap();
    machine.run(StopAt::WorkDone, &mut |_| {}).unwrap();
    let mut cycles = vec![0; machine.component::<Source>("cpu", 0).unwrap().answered.len()];
    for (cycle, answer) in &machine.component::<Source>("cpu", 0).unwrap().answered {
        cycles[answer.id as usize] = *cycle;
    }
    (cycles, machine.report(Detail::Parts))
}

fn value(stats: &StatsNode, path: &str) -> u64 {
    stats.value(path).unwrap_or_else(|| panic!("{path}"))
}

#[test]
fn a_miss_and_then_hits() {
    let read = |at, sectors| (at, MemOp::Read, 0x1000, sectors);
    // The last one asks for a sector more, which alone is fetched.
    let (cycles, stats) = run(vec![read(0, 0b0001), read(500, 0b0001), read(1000, 0b0011)], 64, "");
    assert_eq!(cycles, [LINKS + MISS, 500 + LINKS + HIT, 1000 + LINKS + MISS]);
    assert_eq!(value(&stats, "l2.memory_read_bytes"), 64);
    assert_eq!(value(&stats, "memory.read_bytes"), 64);
    assert_eq!((value(&stats, "l2.read_sectors"), value(&stats, "l2.read_hit_sectors")), (4, 2));
}

#[test]
fn misses_of_one_line_are_merged() {
    let (cycles, stats) = run(vec![(0, MemOp::Read, 0x80, 0b0001), (10, MemOp::Read, 0x80, 0b0001)], 64, "");
    assert_eq!(cycles, [LINKS + MISS, LINKS + MISS]);
    assert_eq!(value(&stats, "memory.reads"), 1);
}

/// A fifth request for a line on its way waits at the port, until the line is there.
#[test]
fn more_than_may_wait_for_a_line_wait_outside() {
    let (cycles, stats) = run(vec![(0, MemOp::Read, 0x80, 0b0001); 5], 64, "");
    assert_eq!(cycles[..4], [LINKS + MISS; 4]);
    // The line is there in the cycle of the fill, 20 before the first answers.
    assert_eq!(cycles[4], LINKS + MISS - 20 + HIT);
    assert_eq!(value(&stats, "memory.reads"), 1);
}

#[test]
fn hits_leave_at_the_rate_of_the_data_array() {
    let warm = (0..16).map(|line| (0, MemOp::Write, line * 128, 0xf));
    let reads = (0..16).map(|line| (1000, MemOp::Read, line * 128, 0xf));
    let (cycles, stats) = run(warm.chain(reads).collect(), 64, "");
    let gaps: Vec<u64> = cycles[16..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(cycles[16], 1000 + LINKS + HIT);
    assert!(gaps.iter().all(|&gap| gap == 2), "128 bytes at 64 a cycle: {gaps:?}");
    assert_eq!(value(&stats, "memory.reads"), 0, "whole sectors are written without a fetch");
}

/// 96 bytes from the second sector on. The first request comes after the first of two launches has begun.
#[test]
fn what_the_host_wrote_is_there() {
    let write = |before_launch, start| HostWrite { before_launch, addresses: start..start + 96 };
    let host = HostWrites::new(vec![write(0, 0x1020), write(1, 0x2020)], 2);
    host.begin(0, Femtos(0));
    let read = |at, address, sectors| (at, MemOp::Read, address, sectors);
    let (cycles, stats) = run_after(host, vec![read(0, 0x1000, 0b1110), read(500, 0x2000, 0b1110)], 64, "");
    assert_eq!(cycles, [LINKS + HIT, 500 + LINKS + MISS]);
    assert_eq!((value(&stats, "l2.host_bytes"), value(&stats, "l2.dirty_bytes")), (96, 96));
}

/// Two kibibytes for a slice of one: the second half stays, since a balanced hash gives each set as many lines.
#[test]
fn the_host_leaves_no_more_than_there_is_room_for() {
    let host = HostWrites::new(vec![HostWrite { before_launch: 0, addresses: 0..2048 }], 1);
    host.begin(0, Femtos(0));
    let reads = (0..16).map(|line| (1000 * line, MemOp::Read, 128 * (15 - line), 0b1111)).collect();
    let (cycles, stats) = run_after(host, reads, 1, "");
    assert_eq!((value(&stats, "l2.host_bytes"), value(&stats, "l2.read_sectors")), (2048, 64));
    assert_eq!(value(&stats, "l2.read_hit_sectors"), 32);
    assert_eq!(cycles[7], 7000 + LINKS + HIT);
    assert!(cycles[8] > 8000 + LINKS + HIT);
}

#[test]
fn atomics_take_the_atomic_unit_in_turn() {
    let warm = (0, MemOp::Write, 0x80, 0b0011);
    let atomics =
        [(1000, MemOp::Atomic, 0x80, 0b0001), (1000, MemOp::Update, 0x80, 0b0011), (1000, MemOp::Atomic, 0x80, 1)];
    let (cycles, stats) = run(std::iter::once(warm).chain(atomics).collect(), 64, "");
    let first = 1000 + LINKS + HIT + ATOMIC;
    assert_eq!(cycles[1..], [first, first + 1, first + 3], "a sector a cycle");
    assert_eq!(value(&stats, "l2.dirty_bytes"), 64);
}

/// Two ways of 4 sets: what is written beyond them goes to memory, sector by sector, and the rest is still here.
#[test]
fn dirty_lines_are_written_back_when_they_make_room() {
    let writes = (0..64).map(|line| (line * 10, MemOp::Write, line * 128, 0b1011)).collect();
    let (_, stats) = run(writes, 1, "");
    let left = value(&stats, "l2.dirty_bytes");
    assert_eq!(left, 8 * 96);
    assert_eq!(value(&stats, "l2.memory_written_bytes"), 64 * 96 - left);
    // The last may still be on their way.
    assert!(value(&stats, "memory.written_bytes") >= 64 * 96 - left - 96);
    assert_eq!(value(&stats, "memory.reads"), 0);
}
