//! The smallest machine: a server, a wall and a ball.
//!
//! ```text
//!   server ──out──▶ 3 cycles ──▶ in── wall
//!          ◀──in─── 3 cycles ◀──out──
//! ```
//! The server holds one unit of foreground work for each rally, so that the run ends when its last ball is back. A rally
//! is two flights of 3 cycles and takes no time at the wall: 10 rallies, started at cycle 0, end at cycle 60.

use sim_core::{
    Activity, BuildError, Component, Cx, Cycle, Detail, In, Machine, MachineFile, Out, Payload, Plan, Registry,
    Resources, Site, StatsNode, StopAt,
};

/// The only protocol here.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Ball;

impl Payload for Ball {
    const NAME: &'static str = "ball";
}

/// What a machine file says of a server.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerSpec {
    rallies: u32,
}

struct Server {
    to_serve: u32,
    input: In<Ball>,
    output: Out<Ball>,
    returns: u64,
}

// All fields once: what happens in a run, and what building gives again. So a run can be saved and go on later.
sim_core::saved!(Server { state: to_serve, returns; rebuilt: input, output });

impl Component for Server {
    const KIND: &'static str = "example.server";
    type Spec = ServerSpec;

    fn build(spec: ServerSpec, site: &mut Site<'_>) -> Result<Server, BuildError> {
        if spec.rallies == 0 {
            return Err(BuildError::key("rallies", "nothing to play").help("at least 1"));
        }
        site.foreground(spec.rallies);
        let (input, output) = (site.input("in", 1), site.output("out"));
        Ok(Server { to_serve: spec.rallies, input, output, returns: 0 })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        let returned = cx.take(self.input).is_some();
        if returned {
            self.returns += 1;
            cx.end_work(1);
        }
        let first = self.returns == 0 && cx.now() == Cycle(0);
        if (first || returned) && self.to_serve > 0 {
            self.to_serve -= 1;
            cx.send(self.output, Ball);
        }
        Activity::input()
    }

    fn report(&self, at: Cycle, out: &mut StatsNode) {
        out.counter("returns", self.returns, "balls");
        out.counter("cycles", at.0, "cycles");
        out.ratio("cycles_per_rally", "cycles", "returns", 1.0, "cycles/ball");
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct WallSpec {}

struct Wall {
    input: In<Ball>,
    output: Out<Ball>,
}

sim_core::saved!(Wall { rebuilt: input, output });

impl Component for Wall {
    const KIND: &'static str = "example.wall";
    type Spec = WallSpec;

    fn build(_: WallSpec, site: &mut Site<'_>) -> Result<Wall, BuildError> {
        Ok(Wall { input: site.input("in", 1), output: site.output("out") })
    }

    fn tick(&mut self, cx: &mut Cx<'_>) -> Activity {
        // Look for room first: a ball that cannot be sent on stays in the FIFO.
        if !cx.is_empty(self.input) && cx.room(self.output) == 0 {
            return Activity::credit();
        }
        if let Some(ball) = cx.take(self.input) {
            cx.send(self.output, ball);
        }
        Activity::input()
    }

    fn report(&self, _: Cycle, _: &mut StatsNode) {}
}

const MACHINE: &str = r#"
[clock.court]
mhz = 1000

[part.server]
kind = "example.server"
clock = "court"
rallies = 10

[part.wall]
kind = "example.wall"
clock = "court"

[[link]]
from = "server.out"
to = "wall.in"
latency_cycles = 3

[[link]]
from = "wall.out"
to = "server.in"
latency_cycles = 3
"#;

fn main() {
    let mut kinds = Registry::new();
    kinds.add::<Server>().add::<Wall>();
    let file = MachineFile::parse("court.toml", MACHINE).expect("the text above is a machine");
    let mut machine = Machine::build(&file, &kinds, Resources::new(), Plan::serial()).expect("and fits its parts");
    let outcome = machine.run(StopAt::WorkDone, &mut |_| {}).expect("nobody waits for ever");
    let report = machine.report(Detail::Parts);
    println!("{:?} at {}: {} returns", outcome.reason, outcome.time, report.value("server.returns").unwrap_or(0));
    println!("{} cycles, {:.1} a rally", report.value("server.cycles").unwrap_or(0), {
        report.find("server").and_then(|s| s.ratio_value("cycles_per_rally")).unwrap_or(0.0)
    });
    assert_eq!((outcome.time.as_ns(), report.value("server.returns")), (60.0, Some(10)));
}
