//! The shipped presets load, say where every number comes from, and give the peaks of the data sheets; bad ones do not.

mod common;

use common::{preset, root};
use hbm::preset::Preset;

fn files() -> Vec<String> {
    let mut files = Vec::new();
    for folder in ["configs/memory", "configs/memory/stacks"] {
        for entry in std::fs::read_dir(root(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "toml") {
                files.push(path.to_str().unwrap().to_string());
            }
        }
    }
    files.sort();
    files
}

#[test]
fn every_number_has_an_origin() {
    assert!(files().len() >= 18);
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        for (i, line) in text.lines().enumerate() {
            let Some((_, value)) = line.split_once('=') else { continue };
            if line.starts_with('#') || !value.trim().starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            let origin = line.split_once('#').map_or("", |(_, o)| o.trim());
            assert!(origin.len() >= 4, "{file}:{}: a number without an origin: {line}", i + 1);
        }
    }
}

#[test]
fn every_preset_loads_under_its_own_name() {
    for file in files() {
        let preset = Preset::load_path(&file).unwrap_or_else(|e| panic!("{e}"));
        assert!(file.ends_with(&format!("/{}.toml", preset.name)), "{file}: {}", preset.name);
    }
}

/// Peaks in GB/s as the vendors state them (the source stands in each file), to the rounding of a data sheet.
#[test]
fn peaks_are_those_of_the_data_sheets() {
    for (name, stated, channels) in [
        ("stacks/v100", 900.0, 32),
        ("stacks/a100-40", 1555.0, 40),
        ("stacks/a100-80", 2039.0, 40),
        ("stacks/h100-pcie", 2039.0, 40),
        ("stacks/h100-sxm", 3350.0, 80),
        ("stacks/h200", 4800.0, 96),
        ("stacks/mi300x", 5300.0, 128),
        ("stacks/a64fx", 1024.0, 32),
        ("stacks/u280", 460.8, 16),
        ("hbm1", 128.0 * 2.0, 8),
        ("hbm2-2000", 256.0, 8),
        ("hbm3", 819.2, 16),
        ("hbm3e-9600", 1228.8, 16),
        ("hbm4", 2048.0, 32),
        ("gddr6-14000", 56.0, 2),
        ("gddr6-16000", 64.0, 2),
        ("stacks/rtx-2080-ti", 616.0, 22),
        ("stacks/rtx-3070", 448.0, 16),
        ("stacks/rtx-4090", 1008.0, 24),
        ("stacks/rtx-a6000", 768.0, 24),
    ] {
        let preset = preset(name);
        assert_eq!(preset.total_channels(), channels, "{name}");
        let peak = preset.peak_gb_per_s();
        assert!((peak / stated - 1.0).abs() < 0.006, "{name}: {peak} GB/s, stated {stated}");
    }
}

/// Loads `hbm3.toml` with one line replaced.
fn spoilt(from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(root("configs/memory/hbm3.toml")).unwrap();
    assert!(text.contains(from));
    let text = text.replace(from, to);
    Preset::load("spoilt.toml", &|_| Ok(text.clone())).unwrap_err().to_string()
}

#[test]
fn bad_presets_name_file_line_and_key() {
    for (from, to, key, says) in [
        ("n_ras = 45", "n_ras = 145", "timing.n_ras", "n_ras = 145 is more than n_rc = 72"),
        ("rows = 16384", "rows = 12345", "organisation.rows", "12345 is not a power of two"),
        ("clock_mhz = 1600", "clock_mhz = 0", "clock_mhz", "0 MHz is no clock"),
        ("n_bl = 2", "n_bl = 0", "timing.n_bl", "is 0"),
        ("pseudo_channels = 2", "pseudo_channels = 3", "organisation.pseudo_channels", "3 pseudo channels"),
        ("n_xs = ", "n_xs = 4000000000 #", "timing.n_xs", "4000000000 clocks"),
        (
            "banks_per_group = 4",
            "banks_per_group = 2147483648",
            "organisation.bank_groups",
            "4 groups x 2147483648 banks",
        ),
        ("channels = 16", "channels = 0", "organisation.channels", "0 is out of range"),
        ("n_faw", "n_fav", "timing.n_fav", "unknown field `n_fav`"),
        ("n_faw = 24", "n_faw = \"24\"", "", "invalid type"),
    ] {
        let text = std::fs::read_to_string(root("configs/memory/hbm3.toml")).unwrap();
        // A key that does not fit another is reported where the other stands.
        let name = key.rsplit('.').next().unwrap();
        let at = if from.contains(name) || to.contains(name) { from } else { name };
        let line = text.lines().position(|l| l.contains(at)).unwrap() + 1;
        let message = spoilt(from, to);
        assert!(message.contains(says), "{message}");
        if !key.is_empty() {
            assert!(message.contains(&format!("spoilt.toml:{line}: `{key}`")), "{message}");
        }
    }
    assert!(spoilt("[timing]", "[timing").contains("spoilt.toml:"));
}

#[test]
fn all_problems_come_at_once() {
    let text = std::fs::read_to_string(root("configs/memory/hbm3.toml")).unwrap();
    let text = text.replace("rows = 16384", "rows = 12345").replace("n_ras = 45", "n_ras = 145");
    let error = Preset::load("spoilt.toml", &|_| Ok(text.clone())).unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
}

#[test]
fn a_base_is_inherited_and_a_circle_is_found() {
    let child = "base = \"../hbm3.toml\"\nname = \"child\"\nstacks = 5 # test\n[timing]\nn_cl = 24 # test\n";
    let read = |path: &str| match path {
        "stacks/child.toml" => Ok(child.to_string()),
        "hbm3.toml" => std::fs::read_to_string(root("configs/memory/hbm3.toml")),
        "circle.toml" => Ok("base = \"circle.toml\"".to_string()),
        _ => Err(std::io::Error::new(std::io::ErrorKind::NotFound, "no such file")),
    };
    let preset = Preset::load("stacks/child.toml", &read).unwrap();
    assert_eq!((preset.stacks, preset.timing.n_cl, preset.timing.n_rp), (5, 24, 26));
    assert!(Preset::load("circle.toml", &read).unwrap_err().to_string().contains("more than 8 files deep"));
}

#[test]
fn every_preset_is_shipped_inside_the_program() {
    let mut shipped: Vec<&str> = hbm::library::SHIPPED.iter().map(|(name, _)| *name).collect();
    shipped.sort_unstable();
    let on_disk = files();
    assert_eq!(shipped.len(), on_disk.len());
    for name in shipped {
        assert_eq!(hbm::library::preset(name).unwrap(), preset(name));
        assert!(on_disk.iter().any(|f| f.ends_with(&format!("configs/memory/{name}.toml"))));
    }
    assert_eq!(hbm::library::preset("h100-sxm").unwrap().name, "h100-sxm");
    assert!(hbm::library::preset("hbm9").unwrap_err().to_string().contains("hbm1, hbm2-1600"));
}
