//! Machine files: places of errors through inheritance and overrides, suggestions, resolved files.

mod support;

use sim_core::config::{ConfigError, Document, MachineFile};
use sim_core::{Machine, Plan, Resources, Rng};
use support::{Ring, kinds};

const BASE: &str = "\
# a ring
[clock.a]
mhz = 1000
[part.left]
kind = \"test.talker\"
clock = \"a\"
count = 2
fan = 1
words = 3
capacity = 2
pause_cycles = 4
refresh_cycles = 50
origin = \"made up\"
[part.left.origin]
words = \"also made up\"
[[link]]
from = \"left.out\"
to = \"left.in\"
latency_cycles = 2
[[link]]
from = \"left.hum_out\"
to = \"left.hum_in\"
latency_cycles = 2
";

fn base() -> String {
    BASE.replace("origin = \"made up\"\n", "")
}

/// Loads `child.toml`, which may inherit from `base.toml`.
fn load(child: &str, sets: &[&str]) -> Result<MachineFile, Vec<ConfigError>> {
    let base = base();
    let mut resolve = |name: &str, _: Option<&str>| match name {
        "child.toml" => Ok((name.to_string(), child.to_string())),
        "base.toml" => Ok((name.to_string(), base.clone())),
        _ => Err("no such file".to_string()),
    };
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    MachineFile::load("child.toml", &mut resolve, &sets)
}

fn errors_of(child: &str, sets: &[&str]) -> Vec<String> {
    let file = match load(child, sets) {
        Ok(file) => file,
        Err(errors) => return errors.iter().map(ToString::to_string).collect(),
    };
    match Machine::build(&file, &kinds(), Resources::new(), Plan::serial()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_child_inherits_and_differs() {
    assert_eq!(errors_of("base = \"base.toml\"\n", &[]), [""; 0]);
    let file = load("base = \"base.toml\"\n[part.left]\ncount = 5\n", &["part.left.words=9"]).unwrap();
    assert_eq!(file.parts[0].components(), 5);
    assert_eq!(file.document().read_at::<u32>("part.left.words").unwrap(), 9);
    assert!(!file.to_toml().contains("origin"), "{}", file.to_toml());
}

#[test]
fn a_table_of_another_kind_takes_the_place_of_the_inherited_one() {
    let pipe = |text: &str| {
        let mut resolve = |name: &str, _: Option<&str>| match name {
            "base.toml" => {
                Ok((name.to_string(), "[part.sm.pipe]\nkind = \"shared\"\nentries = 1\nraw = 9\n".to_string()))
            }
            _ => Ok((name.to_string(), format!("base = \"base.toml\"\n[part.sm.pipe]\n{text}"))),
        };
        let document = Document::load("child.toml", &mut resolve, &[]).unwrap();
        document.root().at("part.sm.pipe").unwrap().table().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(pipe("kind = \"fixed\"\ncycles = 8\n"), ["cycles", "kind"]);
    assert_eq!(pipe("kind = \"shared\"\nraw = 8\n"), ["entries", "kind", "raw"]);
    assert_eq!(pipe("raw = 8\n"), ["entries", "kind", "raw"]);
}

#[test]
fn the_resolved_file_gives_the_same_machine() {
    let file = load("base = \"base.toml\"\nseed = 4\n[part.left]\ncount = 5\n", &["clock.a.mhz=1755.5"]).unwrap();
    let again = MachineFile::parse("machine.toml", &file.to_toml()).unwrap();
    assert_eq!(file.to_toml(), again.to_toml());
    assert_eq!(file.hash(), again.hash());
    assert_ne!(file.hash(), load("base = \"base.toml\"\nseed = 5\n", &[]).unwrap().hash());
    assert_eq!(again.clocks[0].hertz, 1_755_500_000);
    let build = |f: &MachineFile| Machine::build(f, &kinds(), Resources::new(), Plan::serial()).unwrap();
    assert_eq!(support::result(build(&file)), support::result(build(&again)));
}

#[test]
fn an_unknown_key_is_shown_where_it_was_written() {
    // In the child…
    assert_eq!(
        errors_of("base = \"base.toml\"\n[part.left]\nwrods = 3\n", &[]),
        ["child.toml:3:1: part.left.wrods: unknown key `wrods` (did you mean `words`?)"]
    );
    // …and in the base, seen from a child.
    let in_base = base().replace("capacity = 2", "capacity = 2\ncapacty = 2");
    let mut resolve = |name: &str, _: Option<&str>| match name {
        "base.toml" => Ok((name.to_string(), in_base.clone())),
        _ => Ok((name.to_string(), "base = \"base.toml\"\n[part.left]\nwords = 1\n".to_string())),
    };
    let file = MachineFile::load("child.toml", &mut resolve, &[]).unwrap();
    let errors = Machine::build(&file, &kinds(), Resources::new(), Plan::serial()).err().unwrap();
    assert_eq!(
        errors[0].to_string(),
        "base.toml:11:1: part.left.capacty: unknown key `capacty` (did you mean `capacity`?)"
    );
}

#[test]
fn all_errors_of_a_file_are_reported() {
    let child = "base = \"base.toml\"\nsede = 3\n[clock.b]\nmhz = -1\n[part.left]\nclock = \"c\"\n[[link]]\nfrom = \"x.y\"\nto = \"z.w\"\n";
    let errors = errors_of(child, &[]);
    assert_eq!(
        errors,
        [
            "child.toml:2:1: sede: unknown key `sede` (did you mean `seed`?)",
            "child.toml:4:7: clock.b.mhz: not a frequency in megahertz (a number above 0, e.g. 1755)",
            "child.toml:6:9: part.left.clock: there is no clock `c` (did you mean `a`?)",
            "child.toml:7:1: link: missing key `latency_cycles` (at least 1, in cycles of the receiver's clock)",
        ]
    );
    // Several unknown keys and a wrong type in one specification.
    let errors = errors_of("base = \"base.toml\"\n[part.left]\nfann = 3\nspeed = 3\nwords = \"many\"\n", &[]);
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].starts_with("child.toml:3:1: part.left.fann: unknown key `fann` (did you mean `fan`?)"));
    assert!(errors[1].starts_with("child.toml:4:1: part.left.speed: unknown key `speed`"), "{}", errors[1]);
    assert!(errors[2].starts_with("child.toml:5:9: part.left.words: invalid type: string \"many\""), "{}", errors[2]);
}

#[test]
fn overrides_name_the_nearest_key() {
    let child = "base = \"base.toml\"\n";
    let error = |set: &str| errors_of(child, &[set]).join("\n");
    assert_eq!(
        error("part.left.cuont=3"),
        "--set:1:1: part.left.cuont: unknown key `part.left.cuont` (did you mean `part.left.count`?)"
    );
    assert_eq!(
        error("part.lft.count=3"),
        "--set:1:1: part.lft.count: unknown key `part.lft.count` (did you mean `part.left.count`?)"
    );
    assert!(error("part.left.count").contains("has no value (write key=value"));
    assert!(error("part.left.words=-4").starts_with("--set:1:17: part.left.words: invalid value: integer `-4`"));
    assert!(
        error("part.left.kind=test.talkr")
            .contains("there is no kind of component `test.talkr` (did you mean `test.talker`?)")
    );
}

#[test]
fn links_are_checked() {
    let broken = |from: &str, to: &str| {
        let child = format!("base = \"base.toml\"\n[[link]]\nfrom = \"{from}\"\nto = \"{to}\"\nlatency_cycles = 1\n");
        errors_of(&child, &[]).join("\n")
    };
    // A link of the same `from` replaces the inherited one.
    assert!(broken("left.out", "left[0].in").contains("`left.out` is 2 ports, but `left[0].in` is 1 (a link joins"));
    assert!(broken("left.out", "left.hum_in").contains("`left.out` sends word, but `left.hum_in` takes hum"));
    assert!(broken("left.in", "left.in").contains("`left[0].in` is an input"));
    assert!(broken("left[0].out", "left[1].in").contains("`left[0].out` is linked twice"));
    assert!(broken("left.owt", "left.in").contains("there is no port `left.owt` (did you mean `out`?)"));
    assert!(broken("left[0..3].out", "left.in").contains("index 0..3 of 2"));
    let text = base().replace("[[link]]\nfrom = \"left.hum_out\"\nto = \"left.hum_in\"\nlatency_cycles = 2\n", "");
    let error =
        Machine::build(&MachineFile::parse("m.toml", &text).unwrap(), &kinds(), Resources::new(), Plan::serial());
    let error = error.err().unwrap()[0].to_string();
    assert!(
        error.starts_with("m.toml:4:1: part.left: `left[0].hum_in` and 1 more is not linked (add a [[link]]"),
        "{error}"
    );
    let open = format!("unconnected = [\"left.hum_in\", \"left.hum_out\"]\n{text}");
    let machine =
        Machine::build(&MachineFile::parse("m.toml", &open).unwrap(), &kinds(), Resources::new(), Plan::serial());
    assert!(machine.is_ok());
}

#[test]
fn files_that_cannot_be_read_are_named_at_the_place_that_names_them() {
    assert_eq!(
        errors_of("\nbase = \"bse.toml\"\n", &[]),
        ["child.toml:2:8: base: cannot read `bse.toml`: no such file"]
    );
    assert_eq!(errors_of("base = \"child.toml\"\n", &[]), ["child.toml:1:8: base: `child.toml` inherits from itself"]);
    let errors = errors_of("[part.x]\nkind = \n", &[]);
    assert!(errors[0].starts_with("child.toml:2:") && errors[0].contains("not valid TOML"), "{errors:?}");
}

#[test]
fn readers_survive_mutations() {
    let text = base();
    let mut rng = Rng::placed(11, "mutations");
    for _ in 0..3_000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(3) {
                0 => drop(bytes.remove(at)),
                1 => bytes.insert(at, b"[]\"=.0\n#-e{}"[rng.below(12) as usize]),
                _ => bytes[at] = 32 + rng.below(95) as u8,
            }
        }
        let mutated = String::from_utf8_lossy(&bytes).into_owned();
        let Ok(file) = MachineFile::parse("mutated.toml", &mutated) else { continue };
        if file.parts.iter().all(|p| p.components() < 1_000) {
            let _ = Machine::build(&file, &kinds(), Resources::new(), Plan::serial());
        }
    }
}

#[test]
fn a_document_can_be_read_as_anything() {
    #[derive(serde::Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields, rename_all = "snake_case")]
    enum Policy {
        Open,
        Closed { after_cycles: u64 },
    }
    #[derive(serde::Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Memory {
        policy: Policy,
        rate: f64,
        sizes: Vec<u32>,
        note: Option<String>,
    }
    let read = |text: &str| Document::parse("memory.toml", text).and_then(|d| d.read::<Memory>());
    let memory = read("policy = { closed = { after_cycles = 3 } }\nrate = 2\nsizes = [1, 2]\n").unwrap();
    let policy = Policy::Closed { after_cycles: 3 };
    assert_eq!(memory, Memory { policy, rate: 2.0, sizes: vec![1, 2], note: None });
    let error = |text: &str| read(text).unwrap_err()[0].to_string();
    assert_eq!(
        error("policy = \"opn\"\nrate = 2\nsizes = []\n"),
        "memory.toml:1:10: policy: `opn` is none of the choices (did you mean `open`?)"
    );
    assert!(
        error("policy = \"open\"\nrate = 2\nsizes = [1, -2]\n")
            .starts_with("memory.toml:3:13: sizes[1]: invalid value")
    );
    assert!(error("policy = \"open\"\nsizes = []\n").contains("missing key `rate`"));
}

#[test]
fn adding_components_shifts_nobodys_random_numbers() {
    let mut rng = Rng::placed(1, "sm[3]");
    // Fixed for ever: published numbers depend on the stream.
    let first: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
    assert_eq!(first, FIRST_OF_SM_3, "the streams have changed: {first:?}");
    assert_ne!(Rng::placed(1, "sm[4]"), Rng::placed(1, "sm[3]"));
    assert_ne!(Rng::placed(2, "sm[3]"), Rng::placed(1, "sm[3]"));
    // A third talker on the right, not linked to the others, changes nothing on the left.
    let ring = Ring {
        left: 3,
        right: 1,
        fan: 1,
        words: 5,
        capacity: 2,
        pause_cycles: 9,
        refresh_cycles: 70,
        latencies: vec![3],
        mhz: [1000.0, 1000.0],
        seed: 6,
    };
    let alone = ring.toml();
    let with = alone.clone()
        + "[part.side]\nkind = \"test.talker\"\nclock = \"a\"\nfan = 1\nwords = 2\ncapacity = 2\npause_cycles = 3\n\
           refresh_cycles = 9\n[[link]]\nfrom = \"side.out\"\nto = \"side.in\"\nlatency_cycles = 1\n\
           [[link]]\nfrom = \"side.hum_out\"\nto = \"side.hum_in\"\nlatency_cycles = 1\n";
    let said = |text: &str| {
        let mut machine = support::build(text, Plan::serial());
        machine.run(sim_core::StopAt::Time(sim_core::Femtos::from_ns(500)), &mut |_| {}).unwrap();
        let report = machine.report(sim_core::Detail::Components);
        (0..3).map(|i| report.value(&format!("left.left[{i}].checksum")).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(said(&alone), said(&with));
}

const FIRST_OF_SM_3: [u64; 3] = [13045999314891659456, 15024734252852769875, 684819365146668670];
