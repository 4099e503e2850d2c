//! Readers and executor survive broken input: whatever is made of a listing, metadata or launch by small changes is read
//! or refused, and executed or stopped, but never panics.
//!
//! The bodies are plain functions of a text, so that a fuzzer can call them as well.

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Dxsm;
use workloads::sass::exec::Grid;
use workloads::sass::{Kernel, Launch, Listing, catalog};
use workloads::stream::CtaStream;

const LISTINGS: [(&str, &str); 3] = [
    (include_str!("../kernels/sass/histogram.sm_80.sass"), "histogram"),
    (include_str!("../kernels/sass/softmax.sm_90.sass"), "softmax"),
    (include_str!("../kernels/sass/transpose_plain.sm_86.sass"), "transpose_plain"),
];
const METADATA: [&str; 3] = [
    include_str!("../kernels/sass/histogram.sm_80.toml"),
    include_str!("../kernels/sass/softmax.sm_90.toml"),
    include_str!("../kernels/sass/transpose_plain.sm_86.toml"),
];
const LAUNCHES: [&str; 3] = [
    include_str!("../launches/histogram.toml"),
    include_str!("../launches/softmax.toml"),
    include_str!("../launches/transpose.toml"),
];

fn read_listing(text: &str) {
    let _ = Listing::parse("mutated.sass", text);
}

fn read_metadata(text: &str, listing: &Listing) {
    let _ = Kernel::parse("mutated.toml", text, listing);
}

fn read_launch(text: &str) {
    let _ = Launch::parse("mutated.toml", text, None);
}

/// Executes one block of whatever kernel the listing still describes.
fn execute(text: &str, metadata: &str, launch: &Launch) -> bool {
    let Ok(listing) = Listing::parse("mutated.sass", text) else { return false };
    let Ok(kernel) = Kernel::parse("mutated.toml", metadata, &listing) else { return false };
    let Ok(mut grid) = Grid::new(&kernel, launch) else { return false };
    grid.set_watchdog(30_000);
    let _ = grid.run_cta(0, &mut CtaStream::default());
    let _ = grid.counters();
    true
}

/// A text with one to four small changes: a byte replaced, removed, doubled; a word from elsewhere; a line moved.
fn mutate(text: &str, random: &mut Pcg64Dxsm) -> String {
    let mut below = |limit: usize| (random.next_u64() % limit.max(1) as u64) as usize;
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=below(4) {
        let at = below(bytes.len());
        const LETTERS: &[u8] = b"0123456789abcdefxRUPTZS-!~|[]{}.,:;@*/ \n\t=\"\xff";
        match below(6) {
            0 => bytes[at] = LETTERS[below(LETTERS.len())],
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, LETTERS[below(LETTERS.len())]),
            3 => {
                let from = below(bytes.len());
                let piece = bytes[from..(from + below(12)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            4 => bytes.truncate(bytes.len() - below(bytes.len() / 8)),
            _ => {
                // Another register, offset or number.
                let digits: Vec<usize> = (0..bytes.len()).filter(|&index| bytes[index].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    bytes[digits[below(digits.len())]] = b"0123456789"[below(10)];
                }
            }
        }
        if bytes.is_empty() {
            bytes.push(b'\n');
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As an editor of one instruction would: operands, opcodes and targets change, encodings are dropped.
fn edit(lines: &[&str], random: &mut Pcg64Dxsm) -> String {
    let mut below = |limit: usize| (random.next_u64() % limit.max(1) as u64) as usize;
    let mut lines: Vec<String> = lines.iter().map(|line| format!("B------:R-:W-:-:S01  {line}")).collect();
    for _ in 0..=below(3) {
        let at = below(lines.len());
        let other = lines[below(lines.len())].clone();
        let mut words: Vec<String> = lines[at].split(' ').map(str::to_owned).collect();
        let donor: Vec<&str> = other.split(' ').collect();
        match below(3) {
            0 => lines[at] = other,
            _ => {
                let word = 2 + below(words.len().saturating_sub(2));
                if let (Some(word), Some(given)) =
                    (words.get_mut(word), donor.get(2 + below(donor.len().saturating_sub(2))))
                {
                    *word = (*given).to_owned();
                }
                lines[at] = words.join(" ");
            }
        }
    }
    lines.join("\n")
}

#[test]
fn readers() {
    let mut random = Pcg64Dxsm::seed_from_u64(1);
    let listings: Vec<Listing> = LISTINGS.iter().map(|(text, _)| Listing::parse("good", text).unwrap()).collect();
    for round in 0..600 {
        let which = round % 3;
        read_listing(&mutate(LISTINGS[which].0, &mut random));
        read_metadata(&mutate(METADATA[which], &mut random), &listings[which]);
        read_launch(&mutate(LAUNCHES[which], &mut random));
    }
}

#[test]
fn executor() {
    let mut random = Pcg64Dxsm::seed_from_u64(2);
    let mut executed = 0;
    for ((listing, _), (metadata, launch)) in LISTINGS.iter().zip(METADATA.iter().zip(&LAUNCHES)) {
        let mut launch = Launch::parse("good", launch, None).unwrap();
        // One block of few warps, and small buffers would hit their ends: what counts is that nothing panics.
        launch.grid = [2, 1, 1];
        let parsed = Listing::parse("good", listing).unwrap();
        let name = parsed.functions[0].name.clone();
        let lines: Vec<&str> = parsed.functions[0].instructions.iter().map(|one| one.text.trim()).collect();
        // A listing in text form calls its function `main`.
        let metadata = metadata.replace(&format!("kernel = \"{name}\""), "kernel = \"main\"");
        launch.kernel = "main".to_owned();
        assert!(execute(
            &lines.iter().map(|line| format!("B------:R-:W-:-:S01  {line}\n")).collect::<String>(),
            &metadata,
            &launch
        ));
        for _ in 0..150 {
            executed += u32::from(execute(&edit(&lines, &mut random), &metadata, &launch));
        }
    }
    // Enough of the edited programs must still run for the test to say something about execution.
    assert!(executed > 60, "{executed}");
}

#[test]
fn compressed_listings() {
    let plain = LISTINGS[0].0;
    let mut packed = zstd::encode_all(plain.as_bytes(), 3).unwrap();
    assert_eq!(
        Listing::parse_bytes("a.sass.zst", &packed).unwrap().functions,
        Listing::parse("a.sass", plain).unwrap().functions
    );
    let mut random = Pcg64Dxsm::seed_from_u64(3);
    for _ in 0..200 {
        let at = (random.next_u64() % packed.len() as u64) as usize;
        packed[at] ^= 1 << (random.next_u64() % 8);
        let _ = Listing::parse_bytes("a.sass.zst", &packed);
    }
    packed.truncate(10);
    assert!(Listing::parse_bytes("a.sass.zst", &packed).is_err());
    assert!(catalog::kernel("histogram", "sm_80").is_ok());
}
