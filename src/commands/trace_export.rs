//! `orrery trace export`: what a launch executes, for other simulators.

use std::io::{BufWriter, Write};

use workloads::accel_sim::{WriteError, write};
use workloads::sass::exec::Grid;
use workloads::sass::launch::Caches;
use workloads::sass::{Launch, catalog as shipped};

use crate::catalog;
use crate::cli::{Common, ExportFormat, TraceExportArgs};
use crate::failure::{Complaint, Failure};
use crate::output::{Folder, print};
use crate::simulate;

/// Name of the trace beside its list.
const KERNEL: &str = "kernel-1.traceg";

/// Executes a launch and writes its trace.
pub fn run(args: &TraceExportArgs, common: &Common) -> Result<(), Failure> {
    let ExportFormat::AccelSim = args.format;
    let launch = catalog::launch(&launch_of(&args.launch))?;
    let kernel = catalog::kernel(&launch, &args.arch)?;
    let mut grid = Grid::new(&kernel, &launch)?;
    let Folder::At(folder) = Folder::choose(common.out.as_deref(), "traces", &args.launch) else {
        return Err(Complaint::new("a trace needs a folder to lie in").help("-o traces").into());
    };
    std::fs::create_dir_all(&folder).map_err(|error| Failure::cannot_write(&folder, &error))?;
    let path = folder.join(KERNEL);
    let cannot = |error: std::io::Error| Failure::cannot_write(&path, &error);
    let mut out = BufWriter::new(std::fs::File::create(&path).map_err(cannot)?);
    write(&mut grid, &launch, &mut out).map_err(|error| match error {
        WriteError::Io(error) => cannot(error),
        WriteError::Execution(error) => simulate::failure(machine::gpu::GpuError::Execution(error)),
    })?;
    out.flush().map_err(cannot)?;
    let list = folder.join("kernelslist.g");
    let copies: String = copies(&grid, &launch).collect();
    std::fs::write(&list, format!("{copies}{KERNEL}\n")).map_err(|error| Failure::cannot_write(&list, &error))?;
    if !common.json {
        print(&format!("wrote {}\n", list.display()));
    }
    Ok(())
}

/// A line for each buffer that the host copies to the device before the launch.
fn copies<'a>(grid: &'a Grid, launch: &'a Launch) -> impl Iterator<Item = String> + 'a {
    let is_copied = |name: &str| {
        let argument = launch.arguments.iter().find(|argument| argument.memory_name() == name);
        launch.caches == Caches::Left && argument.is_some_and(|argument| argument.uploaded)
    };
    let copied = grid.memory().buffers().iter().filter(move |buffer| is_copied(&buffer.name));
    copied.map(|buffer| format!("MemcpyHtoD,{:#018x},{}\n", buffer.address, buffer.data.len()))
}

/// The first shipped launch of a kernel, if the word is a kernel's name and no launch's.
fn launch_of(word: &str) -> String {
    let names = shipped::launch_names();
    if names.iter().any(|name| name == word) {
        return word.to_owned();
    }
    let of_kernel = |name: &&String| shipped::launch(name).is_ok_and(|launch| launch.kernel == word);
    names.iter().find(of_kernel).cloned().unwrap_or_else(|| word.to_owned())
}
