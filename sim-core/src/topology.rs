//! Names and wiring of a machine, as declared by its components and its file: for building and for messages, never
//! looked at while it runs.

use crate::config::{ConfigError, LinkSpec, Place, Problem, did_you_mean};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// One port of one component.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortDecl {
    /// Number of the component within the machine.
    pub component: u32,
    /// Place within an array of ports.
    pub slot: u32,
    /// FIFO of its lane or output of its shard.
    pub handle: u32,
    /// Place in [`PartNames::ports`].
    pub name: u16,
    pub lane: u16,
    pub shard: u16,
    pub capacity: u16,
    pub direction: Direction,
    pub linked: bool,
}

pub(crate) struct PartNames {
    pub name: String,
    pub kind: String,
    pub dimensions: Vec<usize>,
    pub components: usize,
    pub domain: usize,
    /// Number of its first component within the machine.
    pub first: u32,
    /// Port names with the ports of all components, in the order of (component, slot).
    pub ports: Vec<(String, Vec<u32>)>,
}

#[derive(Default)]
pub(crate) struct Topology {
    pub parts: Vec<PartNames>,
    pub ports: Vec<PortDecl>,
    /// Pairs of ports, output first.
    pub links: Vec<(u32, u32)>,
    pub protocols: Vec<&'static str>,
}

impl Topology {
    pub fn first(&self, part: usize) -> u32 {
        self.parts[part].first
    }

    pub fn part_of(&self, component: u32) -> usize {
        self.parts.partition_point(|p| p.first <= component) - 1
    }

    /// `"sm[3]"`, or `"hub"` for a part of one.
    pub fn path(&self, component: u32) -> String {
        let part = &self.parts[self.part_of(component)];
        path(&part.name, &part.dimensions, (component - part.first) as usize)
    }

    /// `"sm[3].mem"`.
    pub fn port_path(&self, port: u32) -> String {
        let p = &self.ports[port as usize];
        let (name, ports) = &self.parts[self.part_of(p.component)].ports[usize::from(p.name)];
        let is_array = p.slot > 0 || {
            let next = ports.partition_point(|&i| (self.ports[i as usize].component, i) <= (p.component, port));
            ports.get(next).is_some_and(|&i| self.ports[i as usize].component == p.component)
        };
        let slot = if is_array { format!("[{}]", p.slot) } else { String::new() };
        format!("{}.{name}{slot}", self.path(p.component))
    }

    pub fn declare(&mut self, part: usize, name: &str, mut port: PortDecl) {
        let ports = &mut self.parts[part].ports;
        let found = ports.iter().position(|(n, _)| n == name);
        port.name = found.unwrap_or(ports.len()) as u16;
        if found.is_none() {
            ports.push((name.to_string(), Vec::new()));
        }
        ports[usize::from(port.name)].1.push(self.ports.len() as u32);
        self.ports.push(port);
    }

    /// Ports of an expression like `sm.mem`, `sm[0..16].mem`, `router[0..64, 3].east` or `hub.launch[2]`.
    pub fn select(&self, text: &str, key: &str, place: &Place) -> Result<Vec<u32>, Box<ConfigError>> {
        let bad =
            |problem: Problem, help: Option<String>| Box::new(ConfigError::new(place, key, problem).maybe_help(help));
        let expected = || Some("write part.port, part[2].port, part[0..16].port or part.port[3]".to_string());
        let syntax = |what: String| bad(Problem::BadValue { message: what }, expected());
        let (part_text, port_text) = split_dot(text).ok_or_else(|| syntax(format!("`{text}` names no port")))?;
        let (part_name, indices) = split_indices(part_text).map_err(&syntax)?;
        let (port_name, slots) = split_indices(port_text).map_err(&syntax)?;
        let Some(part) = self.parts.iter().find(|p| p.name == part_name) else {
            let help = did_you_mean(part_name, self.parts.iter().map(|p| p.name.as_str()));
            return Err(bad(Problem::Unknown { what: "part", name: part_name.into() }, help));
        };
        let Some((_, ports)) = part.ports.iter().find(|(n, _)| n == port_name) else {
            let help = did_you_mean(port_name, part.ports.iter().map(|(n, _)| n.as_str()));
            return Err(bad(Problem::Unknown { what: "port", name: format!("{part_name}.{port_name}") }, help));
        };
        let wanted = chosen(part, &indices).map_err(&syntax)?;
        let mut selected = Vec::new();
        for component in wanted {
            let component = part.first + component as u32;
            let start = ports.partition_point(|&i| self.ports[i as usize].component < component);
            let of_one = ports[start..].iter().take_while(|&&i| self.ports[i as usize].component == component);
            let of_one: Vec<u32> = of_one.copied().collect();
            match slots.as_slice() {
                [] => selected.extend(of_one),
                [slots] => {
                    let range = slots.within(of_one.len()).map_err(|m| syntax(format!("`{text}`: {m}")))?;
                    selected.extend(of_one[range].iter().step_by(slots.step));
                }
                _ => return Err(syntax(format!("`{text}`: a port array has one dimension"))),
            }
        }
        Ok(selected)
    }

    /// How many ports the links of a machine file join to `port` of the one component of a part, before any port is
    /// declared: the sizes of the other ends, one port a component unless slots are written.
    pub fn width(&self, part: usize, port: &str, links: &[LinkSpec]) -> usize {
        let ends = links.iter().flat_map(|l| [(&l.from, &l.to), (&l.to, &l.from)]);
        let name = format!("{}.{port}", self.parts[part].name);
        // Slots may be written at the own end, too: `noc.mem_req[0..16]` to as many components of one port each.
        ends.filter(|(own, _)| own.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with('[')))
            .map(|(_, other)| self.size_of(other).unwrap_or(1))
            .sum()
    }

    /// Components of an end of a link, times the slots written with its port. `None` if it is not well formed, which
    /// is reported when the link is made.
    fn size_of(&self, end: &str) -> Option<usize> {
        let (part_text, port_text) = split_dot(end)?;
        let (name, indices) = split_indices(part_text).ok()?;
        let part = self.parts.iter().find(|p| p.name == name)?;
        let components = chosen(part, &indices).ok()?.len();
        let (_, slots) = split_indices(port_text).ok()?;
        let slots = slots.first().map_or(1, |s| s.end.map_or(1, |end| end.saturating_sub(s.start).div_ceil(s.step)));
        Some(components * slots)
    }

    /// Pairs of ports that a link connects, output first.
    pub fn pair(&mut self, link: &LinkSpec, errors: &mut Vec<ConfigError>) -> Vec<(u32, u32)> {
        let from = self.select(&link.from, "link.from", &link.from_place);
        let to = self.select(&link.to, "link.to", &link.to_place);
        let (from, to) = match (from, to) {
            (Ok(from), Ok(to)) => (from, to),
            (from, to) => {
                errors.extend(from.err().into_iter().chain(to.err()).map(|e| *e));
                return Vec::new();
            }
        };
        let wrong = |message: String, help: String| {
            ConfigError::new(&link.from_place, "link", Problem::Link { message }).help(help)
        };
        if from.len() != to.len() {
            let message = format!("`{}` is {} ports, but `{}` is {}", link.from, from.len(), link.to, to.len());
            errors.push(wrong(message, "a link joins ports one to one, by index".into()));
            return Vec::new();
        }
        let mut pairs = Vec::with_capacity(from.len());
        for (from, to) in from.into_iter().zip(to) {
            let (f, t) = (self.ports[from as usize], self.ports[to as usize]);
            let problem = if f.direction != Direction::Out {
                Some((format!("`{}` is an input", self.port_path(from)), "`from` is an output, `to` an input".into()))
            } else if t.direction != Direction::In {
                Some((format!("`{}` is an output", self.port_path(to)), "`from` is an output, `to` an input".into()))
            } else if f.lane != t.lane {
                let speaks = |p: PortDecl| self.protocols[usize::from(p.lane)];
                let message = format!("`{}` sends {}, but `{}` takes {}", link.from, speaks(f), link.to, speaks(t));
                Some((message, "both ends of a link speak one protocol".into()))
            } else {
                [from, to].into_iter().find(|p| self.ports[*p as usize].linked).map(|p| {
                    (format!("`{}` is linked twice", self.port_path(p)), "a link joins ports one to one".into())
                })
            };
            if let Some((message, help)) = problem {
                errors.push(wrong(message, help));
                return Vec::new();
            }
            self.ports[from as usize].linked = true;
            self.ports[to as usize].linked = true;
            pairs.push((from, to));
        }
        self.links.extend(&pairs);
        pairs
    }
}

/// Path of a component from its part's name.
pub(crate) fn path(part: &str, dimensions: &[usize], index: usize) -> String {
    match dimensions {
        [1] => part.to_string(),
        [_] => format!("{part}[{index}]"),
        dimensions => {
            let mut rest = index;
            let mut indices: Vec<String> = Vec::new();
            for d in dimensions.iter().rev() {
                indices.push((rest % d).to_string());
                rest /= d;
            }
            indices.reverse();
            format!("{part}[{}]", indices.join(", "))
        }
    }
}

/// One index or a half-open range, with an optional step: `3`, `0..16`, `..`, `0..16;2`.
struct Choice {
    start: usize,
    end: Option<usize>,
    step: usize,
}

impl Choice {
    fn parse(text: &str) -> Result<Choice, String> {
        let number = |t: &str| t.trim().parse::<usize>().map_err(|_| format!("`{text}` is no index and no range"));
        let (range, step) = match text.split_once(';') {
            Some((range, step)) => (range, number(step)?.max(1)),
            None => (text, 1),
        };
        match range.split_once("..") {
            None => {
                let start = number(range)?;
                Ok(Choice { start, end: Some(start + 1), step })
            }
            Some((start, end)) => {
                let start = if start.trim().is_empty() { 0 } else { number(start)? };
                let end = if end.trim().is_empty() { None } else { Some(number(end)?) };
                Ok(Choice { start, end, step })
            }
        }
    }

    fn within(&self, count: usize) -> Result<std::ops::Range<usize>, String> {
        let end = self.end.unwrap_or(count);
        if self.start >= end || end > count {
            let asked = if end == self.start + 1 { self.start.to_string() } else { format!("{}..{end}", self.start) };
            return Err(format!("index {asked} of {count}"));
        }
        Ok(self.start..end)
    }
}

fn split_dot(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            '.' if depth == 0 => return Some((&text[..i], &text[i + 1..])),
            _ => {}
        }
    }
    None
}

fn split_indices(text: &str) -> Result<(&str, Vec<Choice>), String> {
    match text.split_once('[') {
        None => Ok((text.trim(), Vec::new())),
        Some((name, rest)) => {
            let inside = rest.trim_end().strip_suffix(']').ok_or_else(|| format!("`{text}` lacks a `]`"))?;
            Ok((name.trim(), inside.split(',').map(Choice::parse).collect::<Result<_, _>>()?))
        }
    }
}

/// Components of a part that a list of indices chooses, row by row.
fn chosen(part: &PartNames, indices: &[Choice]) -> Result<Vec<usize>, String> {
    let flat = [part.components];
    let dimensions = match indices.len() {
        0 => return Ok((0..part.components).collect()),
        1 => &flat[..],
        n if n == part.dimensions.len() => &part.dimensions,
        n => return Err(format!("`{}` has {} dimensions, not {n}", part.name, part.dimensions.len())),
    };
    let mut all = vec![0];
    for (choice, d) in indices.iter().zip(dimensions) {
        let range = choice.within(*d).map_err(|m| format!("`{}`: {m}", part.name))?;
        all = all.iter().flat_map(|row| range.clone().step_by(choice.step).map(move |i| row * d + i)).collect();
    }
    Ok(all)
}
