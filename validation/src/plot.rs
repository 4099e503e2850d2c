//! Figures, as SVG and as PNG, with the font that ships with the project.
//!
//! All use of the plotting crate is in this file.

use std::path::Path;
use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

use crate::files::temporary_beside;

/// DejaVu Sans; terms in `validation/fonts/LICENSE-DejaVu.txt`.
static FONT: &[u8] = include_bytes!("../fonts/DejaVuSans.ttf");
/// The name in the files. A viewer without the font takes another sans-serif face.
const FAMILY: &str = "DejaVu Sans, sans-serif";

/// Why a figure was not written.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    #[error("the figure needs points, and values above zero on a logarithmic axis")]
    NothingToDraw,
    #[error("{path}: a figure is written as .svg or .png")]
    UnknownFormat { path: String },
    #[error("the figure cannot be drawn: {0}")]
    Drawing(String),
    #[error("{path}: {error}")]
    Write { path: String, error: std::io::Error },
}

/// Our values over the references, both axes logarithmic, with the diagonal where they are equal and thin lines at ±10 %.
#[derive(Clone, Copy, Debug)]
pub struct Scatter<'a> {
    pub title: &'a str,
    pub x_label: &'a str,
    pub y_label: &'a str,
    /// (reference, ours), all above zero.
    pub points: &'a [(f64, f64)],
}

/// Attainable performance over arithmetic intensity, with the point that a run reached.
#[derive(Clone, Copy, Debug)]
pub struct Roofline<'a> {
    pub title: &'a str,
    pub peak_tflop_per_s: f64,
    pub peak_gb_per_s: f64,
    pub intensity_flop_per_byte: f64,
    pub achieved_tflop_per_s: f64,
}

/// One quantity over another as a line with dots, and a thin upright line at the limit.
#[derive(Clone, Copy, Debug)]
pub struct Curve<'a> {
    pub title: &'a str,
    pub x_label: &'a str,
    pub y_label: &'a str,
    /// In the order in which they are joined; at or above zero.
    pub points: &'a [(f64, f64)],
    /// Of the first quantity.
    pub limit: f64,
}

/// A value a cell as a shade, from white (none) to full colour (the most).
#[derive(Clone, Copy, Debug)]
pub struct HeatMap<'a> {
    pub title: &'a str,
    pub x_label: &'a str,
    pub value_label: &'a str,
    /// Names from left to right.
    pub columns: &'a [String],
    /// Names from top to bottom.
    pub rows: &'a [String],
    /// One list a row, one value a column.
    pub cells: &'a [Vec<f64>],
}

/// A bar of [`Bars`].
#[derive(Clone, Debug)]
pub struct Bar<'a> {
    pub name: &'a str,
    /// Bars of one group stand together in one colour, under its name.
    pub group: &'a str,
    pub value: f64,
    /// What the value is the mean of: dots on the bar.
    pub each: Vec<f64>,
    /// A value from the literature: a diamond beside the dots.
    pub published: Option<f64>,
}

/// Values around one, a bar each, that grow from one upwards and downwards.
#[derive(Clone, Copy, Debug)]
pub struct Bars<'a> {
    pub title: &'a str,
    pub value_label: &'a str,
    pub bars: &'a [Bar<'a>],
}

impl Bars<'_> {
    /// Writes the figure; the format is that of the path's extension.
    ///
    /// # Errors
    /// See [`PlotError`].
    pub fn write(&self, path: &Path) -> Result<(), PlotError> {
        let all = self.bars.iter().flat_map(|bar| bar.each.iter().copied().chain([bar.value]).chain(bar.published));
        if self.bars.is_empty() || all.into_iter().any(|value| !value.is_finite() || value <= 0.0) {
            return Err(PlotError::NothingToDraw);
        }
        render(path, (96 + 64 * self.bars.len().max(6) as u32, 520), self)
    }
}

impl Curve<'_> {
    /// Writes the figure; the format is that of the path's extension.
    ///
    /// # Errors
    /// See [`PlotError`].
    pub fn write(&self, path: &Path) -> Result<(), PlotError> {
        let numbers = self.points.iter().flat_map(|(x, y)| [*x, *y]).chain([self.limit]);
        if self.points.is_empty() || numbers.into_iter().any(|value| !value.is_finite() || value < 0.0) {
            return Err(PlotError::NothingToDraw);
        }
        render(path, (720, 480), self)
    }
}

impl HeatMap<'_> {
    /// Writes the figure; the format is that of the path's extension.
    ///
    /// # Errors
    /// See [`PlotError`].
    pub fn write(&self, path: &Path) -> Result<(), PlotError> {
        let whole = self.cells.len() == self.rows.len() && self.cells.iter().all(|row| row.len() == self.columns.len());
        if self.rows.is_empty() || self.columns.is_empty() || !whole {
            return Err(PlotError::NothingToDraw);
        }
        let size = (160 + 40 * self.columns.len() as u32, 130 + 40 * self.rows.len() as u32);
        render(path, size, self)
    }
}

impl Scatter<'_> {
    /// Writes the figure; the format is that of the path's extension.
    ///
    /// # Errors
    /// See [`PlotError`].
    pub fn write(&self, path: &Path) -> Result<(), PlotError> {
        if self.points.is_empty() || self.points.iter().any(|(x, y)| *x <= 0.0 || *y <= 0.0) {
            return Err(PlotError::NothingToDraw);
        }
        render(path, (640, 640), self)
    }
}

impl Roofline<'_> {
    /// Writes the figure; the format is that of the path's extension.
    ///
    /// # Errors
    /// See [`PlotError`].
    pub fn write(&self, path: &Path) -> Result<(), PlotError> {
        let all = [self.peak_tflop_per_s, self.peak_gb_per_s, self.intensity_flop_per_byte, self.achieved_tflop_per_s];
        if all.iter().any(|value| !value.is_finite() || *value <= 0.0) {
            return Err(PlotError::NothingToDraw);
        }
        render(path, (720, 480), self)
    }
}

/// Something that can be drawn on any backend.
trait Figure {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String>;
}

impl Figure for Scatter<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        let low = self.points.iter().map(|(x, y)| x.min(*y)).fold(f64::INFINITY, f64::min) / 1.3;
        let high = self.points.iter().map(|(x, y)| x.max(*y)).fold(0.0, f64::max) * 1.3;
        area.fill(&WHITE).map_err(text)?;
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FAMILY, 18))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d((low..high).log_scale(), (low..high).log_scale())
            .map_err(text)?;
        chart
            .configure_mesh()
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .label_style((FAMILY, 13))
            .axis_desc_style((FAMILY, 14))
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .x_label_formatter(&|value| crate::report::number(*value))
            .y_label_formatter(&|value| crate::report::number(*value))
            .draw()
            .map_err(text)?;
        for (factor, style) in [(1.0, BLACK.mix(0.8)), (1.1, BLACK.mix(0.25)), (1.0 / 1.1, BLACK.mix(0.25))] {
            // Where y = factor × x enters and leaves the square.
            let ends = [low * f64::max(1.0, 1.0 / factor), high * f64::min(1.0, 1.0 / factor)].map(|x| (x, x * factor));
            chart.draw_series(LineSeries::new(ends, style)).map_err(text)?;
        }
        let dots = self.points.iter().map(|&point| Circle::new(point, 4, BLUE.mix(0.6).filled()));
        chart.draw_series(dots).map_err(text)?;
        area.present().map_err(text)
    }
}

impl Figure for Roofline<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        let ridge = 1e3 * self.peak_tflop_per_s / self.peak_gb_per_s;
        let roof = |intensity: f64| (intensity * self.peak_gb_per_s / 1e3).min(self.peak_tflop_per_s);
        let left = (ridge / 100.0).min(self.intensity_flop_per_byte / 3.0);
        let right = (ridge * 100.0).max(self.intensity_flop_per_byte * 3.0);
        let bottom = roof(left).min(self.achieved_tflop_per_s / 3.0);
        let top = self.peak_tflop_per_s.max(self.achieved_tflop_per_s) * 3.0;
        area.fill(&WHITE).map_err(text)?;
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FAMILY, 18))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d((left..right).log_scale(), (bottom..top).log_scale())
            .map_err(text)?;
        chart
            .configure_mesh()
            .x_desc("arithmetic intensity (FLOP/byte)")
            .y_desc("performance (TFLOP/s)")
            .label_style((FAMILY, 13))
            .axis_desc_style((FAMILY, 14))
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .x_label_formatter(&|value| crate::report::number(*value))
            .y_label_formatter(&|value| crate::report::number(*value))
            .draw()
            .map_err(text)?;
        let line = [left, ridge, right].map(|x| (x, roof(x)));
        chart.draw_series(LineSeries::new(line, BLACK.stroke_width(2))).map_err(text)?;
        let point = (self.intensity_flop_per_byte, self.achieved_tflop_per_s);
        chart.draw_series([Circle::new(point, 6, BLUE.filled())]).map_err(text)?;
        area.present().map_err(text)
    }
}

impl Figure for Curve<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        let right = most(&mut self.points.iter().map(|point| point.0)).max(self.limit) * 1.05;
        let top = most(&mut self.points.iter().map(|point| point.1)).max(f64::MIN_POSITIVE) * 1.1;
        area.fill(&WHITE).map_err(text)?;
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FAMILY, 18))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..right, 0.0..top)
            .map_err(text)?;
        chart
            .configure_mesh()
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .label_style((FAMILY, 13))
            .axis_desc_style((FAMILY, 14))
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .draw()
            .map_err(text)?;
        let limit = [(self.limit, 0.0), (self.limit, top)];
        chart.draw_series(LineSeries::new(limit, BLACK.mix(0.4))).map_err(text)?;
        chart.draw_series(LineSeries::new(self.points.iter().copied(), BLUE.stroke_width(2))).map_err(text)?;
        let dots = self.points.iter().map(|&point| Circle::new(point, 4, BLUE.filled()));
        chart.draw_series(dots).map_err(text)?;
        area.present().map_err(text)
    }
}

impl Figure for Bars<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        const COLOURS: [RGBColor; 5] =
            [BLUE, RGBColor(0, 120, 80), RGBColor(190, 90, 0), RGBColor(120, 60, 160), RGBColor(150, 20, 60)];
        area.fill(&WHITE).map_err(text)?;
        let values =
            || self.bars.iter().flat_map(|bar| bar.each.iter().copied().chain([bar.value, 1.0]).chain(bar.published));
        let top = values().fold(1.0, f64::max) * 1.08;
        let bottom = values().fold(1.0, f64::min) / 1.08;
        let count = self.bars.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FAMILY, 18))
            .margin(16)
            .x_label_area_size(120)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..count, (bottom..top).log_scale())
            .map_err(text)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .y_desc(self.value_label)
            .label_style((FAMILY, 13))
            .axis_desc_style((FAMILY, 14))
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .y_label_formatter(&|value| format!("{value:.2}"))
            .draw()
            .map_err(text)?;
        let mut groups: Vec<&str> = self.bars.iter().map(|bar| bar.group).collect();
        groups.dedup();
        for (at, bar) in self.bars.iter().enumerate() {
            let (left, middle) = (at as f64, at as f64 + 0.5);
            let group = groups.iter().position(|group| *group == bar.group).unwrap_or(0);
            let colour = COLOURS[group % COLOURS.len()];
            let corners = [(left + 0.2, 1.0), (left + 0.8, bar.value)];
            chart.draw_series([Rectangle::new(corners, colour.mix(0.35).filled())]).map_err(text)?;
            let dots = bar.each.iter().map(|value| Circle::new((left + 0.38, *value), 2, colour.mix(0.7).filled()));
            chart.draw_series(dots).map_err(text)?;
            if let Some(published) = bar.published {
                let shape = vec![(0, -6), (6, 0), (0, 6), (-6, 0)];
                let diamond = EmptyElement::at((left + 0.66, published)) + Polygon::new(shape, BLACK.filled());
                chart.draw_series([diamond]).map_err(text)?;
            }
            let (x, y) = chart.backend_coord(&(middle, bottom));
            let style = TextStyle::from((FAMILY, 12)).transform(FontTransform::Rotate90);
            area.draw(&Text::new(bar.name.to_string(), (x + 6, y + 8), style)).map_err(text)?;
        }
        chart.draw_series(LineSeries::new([(0.0, 1.0), (count, 1.0)], BLACK.mix(0.8))).map_err(text)?;
        let legend = "bar: geometric mean, dot: a workload, diamond: published";
        let (_, height) = area.dim_in_pixel();
        area.draw(&Text::new(legend, (16, height as i32 - 22), (FAMILY, 12))).map_err(text)?;
        area.present().map_err(text)
    }
}

impl Figure for HeatMap<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String> {
        const CELL: i32 = 40;
        const LEFT: i32 = 110;
        const TOP: i32 = 64;
        area.fill(&WHITE).map_err(text)?;
        let most = self.cells.iter().flatten().copied().fold(0.0, f64::max);
        let write = |words: &str, size: i32, at: (i32, i32)| {
            area.draw(&Text::new(words.to_string(), at, (FAMILY, size))).map_err(text)
        };
        write(self.title, 18, (16, 10))?;
        write(&format!("{}: 0 (white) to {}", self.value_label, crate::report::number(most)), 13, (16, 36))?;
        for (row, (name, cells)) in (0..).zip(self.rows.iter().zip(self.cells)) {
            let y = TOP + row * CELL;
            write(name, 13, (16, y + 12))?;
            for (column, value) in (0..).zip(cells) {
                let x = LEFT + column * CELL;
                let shade = if most > 0.0 { value / most } else { 0.0 };
                let corners = [(x, y), (x + CELL - 2, y + CELL - 2)];
                area.draw(&Rectangle::new(corners, BLUE.mix(shade).filled())).map_err(text)?;
                area.draw(&Rectangle::new(corners, BLACK.mix(0.2))).map_err(text)?;
            }
        }
        let below = TOP + self.rows.len() as i32 * CELL + 6;
        for (column, name) in (0..).zip(self.columns) {
            write(name, 12, (LEFT + column * CELL + 8, below))?;
        }
        write(self.x_label, 14, (LEFT, below + 24))?;
        area.present().map_err(text)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Draws into a temporary file beside `path`, then renames: a failed figure leaves no half of one.
fn render(path: &Path, size: (u32, u32), figure: &impl Figure) -> Result<(), PlotError> {
    register()?;
    let shown = path.display().to_string();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| PlotError::Write { path: shown.clone(), error })?;
    }
    let temporary = temporary_beside(path);
    let drawn = match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => figure.draw(&SVGBackend::new(&temporary, size).into_drawing_area()),
        Some("png") => figure.draw(&BitMapBackend::new(&temporary, size).into_drawing_area()),
        _ => return Err(PlotError::UnknownFormat { path: shown }),
    };
    let result = drawn
        .map_err(PlotError::Drawing)
        .and_then(|()| std::fs::rename(&temporary, path).map_err(|error| PlotError::Write { path: shown, error }));
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// Registers the font, once a process.
fn register() -> Result<(), PlotError> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let fine = DONE.get_or_init(|| register_font(FAMILY, FontStyle::Normal, FONT).is_ok());
    if *fine { Ok(()) } else { Err(PlotError::Drawing("the shipped font is not readable".to_string())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scatter(points: &[(f64, f64)]) -> Scatter<'_> {
        Scatter { title: "A suite", x_label: "reference (cycles)", y_label: "orrery (cycles)", points }
    }

    #[test]
    fn svg_and_png_are_whole_files() {
        let folder = tempfile::tempdir().unwrap();
        let points = [(1.0, 1.1), (10.0, 9.0), (300.0, 310.0)];
        for name in ["a.svg", "a.png"] {
            scatter(&points).write(&folder.path().join(name)).unwrap();
        }
        let svg = std::fs::read_to_string(folder.path().join("a.svg")).unwrap();
        assert!(svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("<circle").count(), points.len(), "one dot a case");
        assert!(svg.contains("reference (cycles)") && svg.contains("DejaVu Sans"));
        let png = std::fs::read(folder.path().join("a.png")).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.windows(4).any(|w| w == b"IEND"));
    }

    #[test]
    fn the_roofline_bends_at_the_ridge() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roof.svg");
        let figure = Roofline {
            title: "sgemm",
            peak_tflop_per_s: 51.2,
            peak_gb_per_s: 2000.0,
            intensity_flop_per_byte: 8.0,
            achieved_tflop_per_s: 9.0,
        };
        figure.write(&path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert_eq!(svg.matches("<circle").count(), 1);
        let broken = Roofline { achieved_tflop_per_s: 0.0, ..figure };
        assert!(matches!(broken.write(&path), Err(PlotError::NothingToDraw)));
    }

    #[test]
    fn a_curve_has_a_dot_a_point_and_a_heat_map_a_cell_a_value() {
        let folder = tempfile::tempdir().unwrap();
        let points = [(1.0, 50.0), (10.0, 60.0), (15.0, 600.0)];
        let curve = Curve { title: "A stream", x_label: "GB/s", y_label: "ns", points: &points, limit: 51.2 };
        let names = |names: &[&str]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
        let (columns, rows, cells) =
            (names(&["0.0", "0.1", "0.2"]), names(&["pc 0", "pc 1"]), [[0.0, 1.0, 2.0], [4.0; 3]]);
        let cells: Vec<Vec<f64>> = cells.iter().map(|row| row.to_vec()).collect();
        let map = HeatMap {
            title: "Banks",
            x_label: "bank",
            value_label: "n",
            columns: &columns,
            rows: &rows,
            cells: &cells,
        };
        for format in ["svg", "png"] {
            curve.write(&folder.path().join(format!("curve.{format}"))).unwrap();
            map.write(&folder.path().join(format!("map.{format}"))).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("curve.svg").matches("<circle").count(), points.len());
        // A border a cell, a shade where the value is not zero, and the background.
        assert_eq!(read("map.svg").matches("<rect").count(), 6 + 5 + 1);
        assert!(std::fs::read(folder.path().join("map.png")).unwrap().starts_with(b"\x89PNG"));

        let ragged = HeatMap { cells: &cells[..1], ..map };
        assert!(matches!(ragged.write(&folder.path().join("x.svg")), Err(PlotError::NothingToDraw)));
        let broken = Curve { points: &[(1.0, f64::NAN)], ..curve };
        assert!(matches!(broken.write(&folder.path().join("x.svg")), Err(PlotError::NothingToDraw)));
    }

    #[test]
    fn bars_have_dots_and_diamonds() {
        let folder = tempfile::tempdir().unwrap();
        let bar = |name, value, published| Bar { name, group: "g", value, each: vec![value, 1.1 * value], published };
        let bars = [bar("as is", 1.0, None), bar("none", 0.7, Some(0.73)), bar("perfect", 1.2, None)];
        let figure = Bars { title: "Buffers", value_label: "speed-up", bars: &bars };
        figure.write(&folder.path().join("bars.png")).unwrap();
        let path = folder.path().join("bars.svg");
        figure.write(&path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        assert_eq!(svg.matches("<circle").count(), 6);
        assert_eq!(svg.matches("<polygon").count(), 1);
        assert!(["as is", "none", "perfect"].iter().all(|name| svg.contains(name)));
        let broken = [Bar { value: f64::NAN, ..bars[0].clone() }];
        assert!(matches!(Bars { bars: &broken, ..figure }.write(&path), Err(PlotError::NothingToDraw)));
    }

    #[test]
    fn nothing_to_draw_and_unknown_formats_are_errors_that_leave_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(scatter(&[]).write(&folder.path().join("a.svg")), Err(PlotError::NothingToDraw)));
        assert!(matches!(scatter(&[(0.0, 1.0)]).write(&folder.path().join("a.svg")), Err(PlotError::NothingToDraw)));
        let unknown = scatter(&[(1.0, 1.0)]).write(&folder.path().join("a.pdf"));
        assert!(matches!(unknown, Err(PlotError::UnknownFormat { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
