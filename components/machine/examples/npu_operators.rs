//! Operators on a systolic NPU, from the command line: `npu_operators configs/npu/onnxim-tpuv4.toml gemm:64:64:64 conv:64:64:56:3:1:1`.
use machine::npu_systolic::SystolicSimulation;
use sim_core::config::Document;
use sim_core::{MachineFile, Plan};
use workloads::tensor::*;

fn operator(text: &str) -> Operator {
    let mut words = text.split(':');
    let name = words.next().unwrap();
    let s: Vec<u64> = words.map(|w| w.parse().unwrap()).collect();
    let kind = match name {
        // m k n
        "gemm" => OperatorKind::MatMul(MatMul { batch: 1, m: s[0], k: s[1], n: s[2] }),
        _ => {
            let out = (s[2] + 2 * s[5] - s[3]) / s[4] + 1;
            OperatorKind::Convolution(Convolution {
                batch: 1,
                in_channels: s[0],
                out_channels: s[1],
                in_height: s[2],
                in_width: s[2],
                out_height: out,
                out_width: out,
                kernel_height: s[3],
                kernel_width: s[3],
                stride_height: s[4],
                stride_width: s[4],
                dilation_height: 1,
                dilation_width: 1,
                pad_top: s[5],
                pad_left: s[5],
                pad_bottom: s[5],
                pad_right: s[5],
                groups: 1,
            })
        }
    };
    Operator { name: text.into(), kind, inputs: vec![TensorId(0)], outputs: vec![], fused: vec![] }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().expect("a machine file");
    for text in args {
        let sets: Vec<String> = std::env::var("SETS")
            .map(|s| s.split(';').filter(|s| !s.is_empty()).map(str::to_owned).collect())
            .unwrap_or_default();
        let file = MachineFile::load(&name, &mut Document::from_disk, &sets).unwrap_or_else(|errors| {
            panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        let operand = Tensor {
            name: "operand".into(),
            shape: vec![1 << 27],
            element: if std::env::var("INT8").is_ok() { Element::I8 } else { Element::F16 },
            role: Role::Input,
        };
        let operators = text.split('+').map(operator).collect();
        let graph = Graph { name: text.clone(), tensors: vec![operand], operators };
        let begin = std::time::Instant::now();
        let simulation = SystolicSimulation::new(&file, &[graph], Plan::serial()).unwrap();
        let result = simulation.run(&mut |_| {}).unwrap_or_else(|e| panic!("{e}"));
        let sum = |of: fn(&npu::systolic::report::LayerResult) -> u64| result.layers.iter().map(of).sum::<u64>();
        let l = result.layers.last().unwrap();
        println!(
            "{text} cycles {} layer_end {} tiles {} reads {} writes {} busy {} util {:.4} {} {:.3}s",
            result.cycles,
            l.end_cycle,
            sum(|l| l.tiles),
            sum(|l| l.dram_read_bytes) / 32,
            sum(|l| l.dram_write_bytes) / 32,
            sum(|l| l.array_busy_cycles),
            l.utilisation,
            l.bound.name(),
            begin.elapsed().as_secs_f64()
        );
    }
}
