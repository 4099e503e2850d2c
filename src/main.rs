//! The `orrery` command line: parse, resolve, call, print. No model lives here.

#![forbid(unsafe_code)]

mod batch;
mod catalog;
mod cli;
mod commands;
mod failure;
mod known;
mod memory;
mod memory_result;
mod npu;
mod output;
mod pieces;
mod report;
mod result;
mod simulate;
mod sweep;
mod traced;
mod views;
mod what_if;

use std::process::ExitCode;

// Streams of a thread block are large and live shortly; the system's allocator gives each back to the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use clap::Parser;
use cli::{Cli, Command};

fn main() -> ExitCode {
    failure::install_panic_message();
    failure::install_diagnostics();
    // Prints help and version itself (code 0) and answers wrong options with code 2.
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or_else(|| Command::Run(cli::RunArgs::default())) {
        Command::Validate(args) => commands::validate::run(&args, &cli.common),
        Command::Run(args) => commands::run::run(&args, &cli.common),
        Command::Check(args) => commands::check::run(&args, &cli.common),
        Command::List(args) => commands::list::run(&args, &cli.common),
        Command::Sweep(command) => commands::sweep::run(&command, &cli.common),
        Command::Plot(args) => commands::plot::run(&args, &cli.common),
        Command::Trace(cli::TraceCommand::Info { file }) => commands::trace::info(&file, &cli.common),
        Command::Trace(cli::TraceCommand::Export(args)) => commands::trace_export::run(&args, &cli.common),
        Command::Trace(cli::TraceCommand::Check(args)) => commands::trace_check::run(&args, &cli.common),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
