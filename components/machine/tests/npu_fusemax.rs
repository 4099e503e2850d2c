//! FuseMax as events on two arrays is the closed form and the fill of the first tile.

use machine::npu_systolic::SystolicSimulation;
use npu::fusemax::closed;
use npu::fusemax::{FuseMaxSpec, Schedule, TileWork};
use sim_core::{MachineFile, Plan};
use workloads::tensor::{Attention, Graph, Operator, OperatorKind};

fn file(schedule: &str) -> MachineFile {
    let text = include_str!("../../../configs/npu/fusemax.toml").replace("schedule = \"bound\"", schedule);
    let text = text.split("[part.array.origin]").next().unwrap();
    MachineFile::parse("fusemax.toml", text).unwrap()
}

fn run(file: &MachineFile, attention: &Attention) -> u64 {
    let operator = Operator {
        name: "attention".into(),
        kind: OperatorKind::Attention(attention.clone()),
        inputs: vec![],
        outputs: vec![],
        fused: vec![],
    };
    let graph = Graph { name: "head".into(), tensors: vec![], operators: vec![operator] };
    let result = SystolicSimulation::new(file, &[graph], Plan::serial()).unwrap().run(&mut |_| {}).unwrap();
    assert_eq!(result.layers.iter().map(|layer| layer.cycles).sum::<u64>(), result.cycles);
    result.cycles
}

#[test]
fn events_are_the_closed_form_and_its_fill() {
    for (heads, keys, width) in [(12, 1024, 64), (2, 2048, 64), (1, 4096, 128)] {
        let attention = Attention {
            batch: 2,
            heads,
            key_heads: heads,
            queries: keys,
            keys,
            query_width: width,
            value_width: width,
        };
        let spec = FuseMaxSpec { edge: 256, buffer_kib: 16384, element_bytes: 2, schedule: Schedule::Bound };
        let fill = TileWork::of(&attention).square;
        let bound = run(&file("schedule = \"bound\""), &attention);
        assert_eq!((bound - fill) as f64, closed::cycles(&spec, &attention), "bound, {keys} keys");
        let phased = run(&file("schedule = \"phased\""), &attention);
        let spec = FuseMaxSpec { schedule: Schedule::Phased, ..spec };
        assert_eq!(phased as f64, closed::cycles(&spec, &attention), "phased, {keys} keys");
    }
}
