//! Maps that are an order of fields, least significant first, and the exclusive-or steps after them.
//!
//! ```text
//!   address / access bytes ─▶ mixed-radix digits in field order ─▶ [hash] ─▶ DRAM address
//! ```
//!
//! Models: RoBaRaCoCh, ChRaBaRoCo and MOP4CLXOR as Ramulator 2.1 has them; a GPU-like order with banks hashed by row
//! bits; any order written as `c5 p1 g2 b2 r16` (field letter and bits, least significant first).
//! Leaves out: channel bits, which are removed before (`interleave`).
//! Numbers: sizes from the organisation.
//! Canonical tests: `every_map_is_a_bijection`.

use serde::{Deserialize, Serialize};

use crate::organisation::{DramAddress, Location, Organisation};

/// A part of a DRAM address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Pseudo channel.
    PseudoChannel,
    /// Stack ID.
    StackId,
    /// Bank group.
    BankGroup,
    /// Bank of a group.
    Bank,
    /// Row.
    Row,
    /// Column, in accesses.
    Column,
}

/// The maps that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldMap {
    /// Least significant first: column, pseudo channel, stack ID, bank group, bank, row.
    RoBaRaCoCh,
    /// Least significant first: column, row, bank, bank group, stack ID, pseudo channel.
    ChRaBaRoCo,
    /// Minimalist open page, four accesses a row: column\[1:0\], pseudo channel, stack ID, bank group, bank, the other
    /// column bits, row; then every level is xored with *column* bits, as Ramulator 2 does it.
    #[serde(rename = "MOP4CLXOR")]
    Mop4ClXor,
    /// GPU-like: one bank-group bit, two column bits (a 128-byte line is two accesses in each of two groups), pseudo
    /// channel, the other group bits, banks, columns, stack ID, row; groups and banks xored with row bits.
    #[serde(rename = "gpu")]
    Gpu,
}

/// What follows the split into fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// Nothing.
    None,
    /// Each level xored with the next bits of the column (Ramulator 2's MOP4CLXOR).
    Columns,
    /// Bank group, bank, pseudo channel and stack ID xored with folded row bits.
    Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Digit {
    field: Field,
    size: u32,
    /// Value of one step of this digit inside its field.
    weight: u32,
    /// Size and weight as powers of two, if they are.
    shifts: Option<(u32, u32)>,
}

impl Digit {
    fn new(field: Field, size: u32, weight: u32) -> Self {
        let both = size.is_power_of_two() && weight.is_power_of_two();
        Digit { field, size, weight, shifts: both.then(|| (size.trailing_zeros(), weight.trailing_zeros())) }
    }

    /// Takes this digit off a mixed-radix number; its contribution to the field.
    #[inline]
    fn take(&self, rest: &mut u64) -> u32 {
        match self.shifts {
            Some((size, weight)) => {
                let digit = *rest as u32 & (self.size - 1);
                *rest >>= size;
                digit << weight
            }
            None => {
                let digit = (*rest % u64::from(self.size)) as u32;
                *rest /= u64::from(self.size);
                digit * self.weight
            }
        }
    }

    /// This digit of a field's value.
    #[inline]
    fn of(&self, value: u32) -> u32 {
        match self.shifts {
            Some((_, weight)) => value >> weight & (self.size - 1),
            None => value / self.weight % self.size,
        }
    }
}

/// Address bits that are a part of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Bits {
    from: u32,
    mask: u32,
    to: u32,
}

impl Bits {
    #[inline]
    fn of(self, block: u64) -> u32 {
        ((block >> self.from) as u32 & self.mask) << self.to
    }
}

/// A map of powers of two with at most two digits a field: the bits of each field, in the order of [`Field`].
type BitFields = [[Bits; 2]; 6];

/// A map ready to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldOrder {
    org: Organisation,
    digits: Vec<Digit>,
    /// The same as bits, if it can be.
    bits: Option<BitFields>,
    offset_bits: u32,
    hash: Hash,
    /// What the lowest address bits, which reach no row, add to a location by exclusive-or. One entry where it is not so.
    steps: Vec<Location>,
}

/// Most low address bits whose locations are kept: 64 accesses.
const STEP_BITS: u32 = 6;

impl FieldOrder {
    /// The named map for an organisation.
    pub fn named(map: FieldMap, org: &Organisation) -> Self {
        use Field::*;
        let whole = |f: Field| (f, size_of(org, f));
        match map {
            FieldMap::RoBaRaCoCh => {
                Self::new(org, &[Column, PseudoChannel, StackId, BankGroup, Bank, Row].map(whole), Hash::None)
            }
            FieldMap::ChRaBaRoCo => {
                Self::new(org, &[Column, Row, Bank, BankGroup, StackId, PseudoChannel].map(whole), Hash::None)
            }
            FieldMap::Mop4ClXor => {
                let low = org.columns.min(4);
                let fields = [
                    (Column, low),
                    whole(PseudoChannel),
                    whole(StackId),
                    whole(BankGroup),
                    whole(Bank),
                    (Column, org.columns / low),
                    whole(Row),
                ];
                Self::new(org, &fields, Hash::Columns)
            }
            FieldMap::Gpu => {
                let (group_low, column_low) = (org.bank_groups.min(2), org.columns.min(2));
                let fields = [
                    (BankGroup, group_low),
                    (Column, column_low),
                    whole(PseudoChannel),
                    (BankGroup, org.bank_groups / group_low),
                    (Column, org.columns / column_low),
                    whole(Bank),
                    whole(StackId),
                    whole(Row),
                ];
                Self::new(org, &fields, Hash::Rows)
            }
        }
    }

    /// A map from its fields, least significant first, with the size (number of values) of each part.
    pub fn new(org: &Organisation, fields: &[(Field, u32)], hash: Hash) -> Self {
        let mut digits: Vec<Digit> = Vec::with_capacity(fields.len());
        for &(field, size) in fields {
            let weight = digits.iter().filter(|d| d.field == field).map(|d| d.size).product();
            if size > 1 {
                digits.push(Digit::new(field, size, weight));
            }
        }
        let bits = bit_fields(&digits);
        let offset_bits = org.access_bytes.trailing_zeros();
        let mut order = FieldOrder { org: *org, digits, bits, offset_bits, hash, steps: Vec::new() };
        order.steps = (0..1 << order.step_bits()).map(|block| order.locate(block << offset_bits)).collect();
        order
    }

    /// Low address bits of which each turns over bits of bank and column alone, whatever the others are. A hash of row 0 is
    /// 0, so that the location of a low address is what its bits turn over.
    fn step_bits(&self) -> u32 {
        let org = &self.org;
        let parts = [org.stack_ids, org.bank_groups, org.banks_per_group];
        let powers = self.bits.is_some() && parts.iter().all(|size| size.is_power_of_two());
        if !powers || self.hash == Hash::Columns {
            return 0;
        }
        let below_rows = self.digits.iter().take_while(|d| d.field != Field::Row);
        below_rows.map(|d| d.size.trailing_zeros()).sum::<u32>().min(STEP_BITS)
    }

    /// Parses `c5 p1 s0 g2 b2 r16`: letters c column, p pseudo channel, s stack ID, g bank group, b bank, r row, each
    /// with its bits, least significant first. `None` if it is no such list or a size does not fit the organisation.
    pub fn parse(text: &str, org: &Organisation) -> Option<Self> {
        let mut fields = Vec::new();
        for word in text.split_whitespace() {
            let field = match word.as_bytes()[0] {
                b'c' => Field::Column,
                b'p' => Field::PseudoChannel,
                b's' => Field::StackId,
                b'g' => Field::BankGroup,
                b'b' => Field::Bank,
                b'r' => Field::Row,
                _ => return None,
            };
            let bits: u32 = word[1..].parse().ok().filter(|b| *b < 31)?;
            fields.push((field, 1 << bits));
        }
        let fits = [Field::Column, Field::PseudoChannel, Field::StackId, Field::BankGroup, Field::Bank, Field::Row]
            .into_iter()
            .all(|f| fields.iter().filter(|(g, _)| *g == f).map(|(_, s)| *s).product::<u32>() <= size_of(org, f));
        fits.then(|| Self::new(org, &fields, Hash::None))
    }

    /// Accesses the map covers; higher address bits are ignored.
    pub fn accesses(&self) -> u64 {
        self.digits.iter().map(|d| u64::from(d.size)).product()
    }

    /// Size of a field in this map.
    pub fn size(&self, field: Field) -> u32 {
        self.digits.iter().filter(|d| d.field == field).map(|d| d.size).product()
    }

    /// Where a byte address goes.
    #[inline]
    pub fn map(&self, address: u64) -> DramAddress {
        let mut rest = address >> self.offset_bits;
        let mut a = DramAddress::default();
        if let Some(bits) = &self.bits {
            let of = |f: Field| bits[f as usize][0].of(rest) | bits[f as usize][1].of(rest);
            a = DramAddress {
                pseudo_channel: of(Field::PseudoChannel),
                stack_id: of(Field::StackId),
                bank_group: of(Field::BankGroup),
                bank: of(Field::Bank),
                row: of(Field::Row),
                column: of(Field::Column),
            };
        } else {
            for d in &self.digits {
                *part(&mut a, d.field) += d.take(&mut rest);
            }
        }
        match self.hash {
            Hash::None => {}
            Hash::Columns => self.hash_columns(&mut a),
            Hash::Rows => self.hash_rows(&mut a),
        }
        a
    }

    /// Where a byte address goes, with its flat bank.
    #[inline]
    pub fn locate(&self, address: u64) -> Location {
        self.org.locate(&self.map(address))
    }

    /// Where the access at `address` goes, given where the one before it went.
    #[inline]
    pub fn locate_next(&self, address: u64, before: Location) -> Location {
        let (block, low) = (address >> self.offset_bits, self.steps.len() - 1);
        let at = block as usize & low;
        if at == 0 {
            return self.locate(address);
        }
        let (from, to) = (self.steps[at - 1], self.steps[at]);
        Location {
            bank: before.bank ^ from.bank ^ to.bank,
            row: before.row,
            column: before.column ^ from.column ^ to.column,
        }
    }

    /// The byte address of a place. Only for maps without a hash.
    pub fn compose(&self, a: &DramAddress) -> u64 {
        let mut a = *a;
        let (mut block, mut step) = (0u64, 1u64);
        for d in &self.digits {
            block += u64::from(d.of(*part(&mut a, d.field))) * step;
            step *= u64::from(d.size);
        }
        block << self.offset_bits
    }

    /// The byte address that this map sends to a place: the inverse of [`Self::map`], with its hash.
    pub fn address_of(&self, place: &DramAddress) -> u64 {
        // Each hash is an exclusive-or with a part that it does not change, and so its own inverse.
        let mut a = *place;
        match self.hash {
            Hash::None => {}
            Hash::Columns => self.hash_columns(&mut a),
            Hash::Rows => self.hash_rows(&mut a),
        }
        self.compose(&a)
    }

    fn hash_columns(&self, a: &mut DramAddress) {
        let mut shift = 0;
        for field in [Field::PseudoChannel, Field::StackId, Field::BankGroup, Field::Bank, Field::Row] {
            let size = size_of(&self.org, field);
            let column = a.column;
            *part(a, field) ^= column.checked_shr(shift).unwrap_or(0) & (size - 1);
            shift += size.trailing_zeros();
        }
    }

    fn hash_rows(&self, a: &mut DramAddress) {
        let org = &self.org;
        let (group_bits, bank_bits) = (org.bank_groups.trailing_zeros(), org.banks_per_group.trailing_zeros());
        // Fibonacci hashing: the high half of the product depends on all row bits (Knuth, volume 3, section 6.4).
        let hash = a.row.wrapping_mul(0x9e37_79b1) >> 16;
        let (bank, group, pc) = (hash, hash >> bank_bits, hash >> (bank_bits + group_bits));
        a.bank_group ^= group & (org.bank_groups - 1);
        a.bank ^= bank & (org.banks_per_group - 1);
        a.pseudo_channel ^= pc & (org.pseudo_channels - 1);
    }
}

fn bit_fields(digits: &[Digit]) -> Option<BitFields> {
    let mut fields = BitFields::default();
    let mut from = 0;
    for d in digits {
        let (size, to) = d.shifts?;
        let free = fields[d.field as usize].iter_mut().find(|b| b.mask == 0)?;
        *free = Bits { from, mask: d.size - 1, to };
        from += size;
    }
    (from < 64).then_some(fields)
}

fn size_of(org: &Organisation, field: Field) -> u32 {
    match field {
        Field::PseudoChannel => org.pseudo_channels,
        Field::StackId => org.stack_ids,
        Field::BankGroup => org.bank_groups,
        Field::Bank => org.banks_per_group,
        Field::Row => org.rows,
        Field::Column => org.columns,
    }
}

#[inline]
fn part(a: &mut DramAddress, field: Field) -> &mut u32 {
    match field {
        Field::PseudoChannel => &mut a.pseudo_channel,
        Field::StackId => &mut a.stack_id,
        Field::BankGroup => &mut a.bank_group,
        Field::Bank => &mut a.bank,
        Field::Row => &mut a.row,
        Field::Column => &mut a.column,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(stack_ids: u32) -> Organisation {
        Organisation {
            channels: 16,
            pseudo_channels: 2,
            stack_ids,
            bank_groups: 4,
            banks_per_group: 4,
            rows: 64,
            columns: 32,
            access_bytes: 32,
        }
    }

    #[test]
    fn every_map_is_a_bijection() {
        for map in [FieldMap::RoBaRaCoCh, FieldMap::ChRaBaRoCo, FieldMap::Mop4ClXor, FieldMap::Gpu] {
            for stack_ids in [1, 2, 3, 4] {
                if map == FieldMap::Mop4ClXor && stack_ids == 3 {
                    continue;
                }
                let org = small(stack_ids);
                let order = FieldOrder::named(map, &org);
                assert_eq!(order.accesses(), org.accesses());
                let mut seen = vec![false; org.accesses() as usize];
                let mut before = Location::default();
                for block in 0..org.accesses() {
                    let a = order.map(block * 32);
                    assert_eq!(order.address_of(&a), block * 32, "{map:?}");
                    let place = org.locate(&a);
                    assert_eq!(order.locate_next(block * 32, before), place, "{map:?} {a:?}");
                    before = place;
                    let flat = (org.flat_bank(&a) * org.rows + a.row) * org.columns + a.column;
                    assert!(!std::mem::replace(&mut seen[flat as usize], true), "{map:?} {a:?}");
                }
            }
        }
    }

    #[test]
    fn order_of_robaracoch() {
        let order = FieldOrder::named(FieldMap::RoBaRaCoCh, &small(2));
        // Columns are 5 bits above the 5-bit offset, then pseudo channel, stack ID, two group and two bank bits, row.
        let at = |bit: u32| order.map(1 << bit);
        assert_eq!(at(5).column, 1);
        assert_eq!(at(10).pseudo_channel, 1);
        assert_eq!(at(11).stack_id, 1);
        assert_eq!(at(12).bank_group, 1);
        assert_eq!(at(14).bank, 1);
        assert_eq!(at(16).row, 1);
        assert_eq!(order.compose(&order.map(0x3_1420)), 0x3_1420);
    }
}
