//! Inputs near those of a corpus: bytes, numbers, words and lines change.

use rand_core::Rng;
use rand_pcg::Pcg64Dxsm;

/// What readers of text trip over.
const WORDS: [&str; 30] = [
    "0",
    "1",
    "-1",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "-9223372036854775808",
    "1e308",
    "nan",
    "inf",
    "0x",
    "0xffffffffffffffff",
    "1_000",
    "\"\"",
    "[",
    "]",
    "{}",
    "=",
    "[[",
    "true",
    "\u{fffd}",
    "é",
    "\t",
    "\r\n",
    "\0",
    "R255",
    "UR63",
    "c[0x0][0x0]",
    "P7",
    "#",
];

fn below(random: &mut Pcg64Dxsm, limit: usize) -> usize {
    (random.next_u64() % limit.max(1) as u64) as usize
}

/// An input of the corpus with one to eight changes.
pub fn mutated(corpus: &[Vec<u8>], random: &mut Pcg64Dxsm) -> Vec<u8> {
    let Some(base) = corpus.get(below(random, corpus.len())) else { return Vec::new() };
    let mut bytes = base.clone();
    for _ in 0..=below(random, 8) {
        change(&mut bytes, corpus, random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Pcg64Dxsm) {
    if bytes.is_empty() {
        bytes.push(b'\n');
    }
    let at = below(random, bytes.len());
    match below(random, 9) {
        0 => bytes[at] ^= 1 << below(random, 8),
        1 => drop(bytes.remove(at)),
        2 => bytes.truncate(at),
        3 => {
            let word = WORDS[below(random, WORDS.len())];
            bytes.splice(at..at, word.bytes());
        }
        // A number or word becomes another.
        4 | 5 => {
            let range = word_at(bytes, at);
            let word = if below(random, 2) == 0 {
                WORDS[below(random, WORDS.len())].as_bytes().to_vec()
            } else {
                let other = below(random, bytes.len());
                bytes[word_at(bytes, other)].to_vec()
            };
            bytes.splice(range, word);
        }
        // A line of this or another input is put in, or goes.
        6 => drop(bytes.drain(line_at(bytes, at))),
        _ => {
            let donor = &corpus[below(random, corpus.len())];
            if !donor.is_empty() {
                let line = donor[line_at(donor, below(random, donor.len()))].to_vec();
                let start = line_at(bytes, at).start;
                bytes.splice(start..start, line);
            }
        }
    }
}

/// The run of letters and digits round a position.
fn word_at(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let inside = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'.';
    let start = bytes[..at].iter().rposition(|byte| !inside(byte)).map_or(0, |found| found + 1);
    let end = bytes[at..].iter().position(|byte| !inside(byte)).map_or(bytes.len(), |found| at + found);
    start..end
}

/// The line round a position, with its end.
fn line_at(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let start = bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |found| found + 1);
    let end = bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |found| at + found + 1);
    start..end
}
