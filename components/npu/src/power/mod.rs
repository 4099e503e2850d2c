//! Energy of an NPU on the same events as its time: states of components, energies of events, leakage.
//!
//! ```text
//!   E = Σ events · energy(V²)  +  Σ states leakage(state, V, T) · time  +  Σ wake-ups
//! ```
//! Models: per component the states on, clock-gated, drowsy and off; energies that scale with the square of the supply;
//! leakage by supply (table) and temperature; wake-up times, which the event calendar waits for; energy by task, by component
//! and by window of time. Leaves out: losses of regulators and the rest of the chip.
//! Numbers: the machine file, each with node and source.
//! Canonical tests: `tests/power.rs`: the integral of the trace is the report, energy is linear in counts, a lower supply
//! saves its square.

mod meter;
mod spec;

pub use meter::{ComponentEnergy, EnergyReport, Meter, PowerTrace, Supply};
pub use spec::{GateSpec, LeakageSpec, PowerSpec, SupplyPoint};
