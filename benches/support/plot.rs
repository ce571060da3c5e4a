//! A plot of events a second and of latency, as SVG.

use std::fmt::Write as _;

use super::series::Series;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 940.0;
const PANEL: f64 = 250.0;
const TITLE: f64 = 84.0;
const COLOURS: [&str; 6] = ["#9aa0a6", "#1a73e8", "#188038", "#e8710a", "#9334e6", "#d93025"];

/// One panel's place and scale.
struct Panel {
    top: f64,
    most: f64,
    /// The least of a logarithmic scale.
    least: Option<f64>,
}

impl Panel {
    fn y(&self, value: f64) -> f64 {
        let share = match self.least {
            Some(least) => (value.max(least) / least).ln() / (self.most / least).ln(),
            None => value / self.most,
        };
        self.top + PANEL * (1.0 - share)
    }

    fn grid(&self, svg: &mut String, lines: &[f64]) {
        for value in lines {
            let y = self.y(*value);
            let _ = writeln!(
                svg,
                "<line x1='{LEFT}' x2='{RIGHT}' y1='{y:.1}' y2='{y:.1}' stroke='#dadce0'/>\
                 <text x='{:.1}' y='{:.1}' text-anchor='end'>{}</text>",
                LEFT - 6.0,
                y + 4.0,
                thousands(*value)
            );
        }
    }
}

/// Series over several numbers of connections, side by side for each number.
pub fn by_connections(title: &str, series: &[&Series]) -> String {
    let connections: Vec<usize> =
        series.first().map(|one| one.runs.iter().map(|run| run.connections).collect()).unwrap_or_default();
    let bottom = TITLE + 2.0 * PANEL + 130.0;
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {bottom}' font-family='sans-serif' \
         font-size='12' fill='#202124'>\n<rect width='{WIDTH}' height='{bottom}' fill='#fff'/>\n\
         <text x='20' y='24' font-size='16'>{title}</text>\n"
    );
    legend(&mut svg, series);
    let runs = || series.iter().flat_map(|one| &one.runs);
    let rate =
        Panel { top: TITLE, most: nice(runs().map(|run| run.per_second()).fold(1.0, f64::max)), least: None };
    let lines: Vec<f64> = (0..=4).map(|quarter| rate.most * f64::from(quarter) / 4.0).collect();
    rate.grid(&mut svg, &lines);
    let slow = runs().map(|run| run.latency_ms(0.99)).fold(1.0, f64::max);
    let latency = Panel { top: TITLE + PANEL + 70.0, most: decade(slow), least: Some(0.01) };
    let decades: Vec<f64> =
        (-2..=4).map(|power| 10f64.powi(power)).filter(|value| *value <= latency.most * 1.01).collect();
    latency.grid(&mut svg, &decades);
    axis(&mut svg, rate.top, "events/s");
    axis(&mut svg, latency.top, "latency in ms (logarithmic): from p50, the thick end, to p99");
    let group = (RIGHT - LEFT) / connections.len().max(1) as f64;
    let bar = group * 0.8 / series.len().max(1) as f64;
    for (place, number) in connections.iter().enumerate() {
        let start = LEFT + group * (place as f64 + 0.1);
        for (colour, one) in series.iter().enumerate() {
            let Some(run) = one.at(*number) else { continue };
            let (x, colour) = (start + bar * colour as f64, COLOURS[colour % COLOURS.len()]);
            rect(&mut svg, x, rate.y(run.per_second()), bar, rate.y(0.0), colour);
            label(&mut svg, x + bar / 2.0, rate.y(run.per_second()) - 4.0, &thousands(run.per_second()));
            let (p50, p99) = (run.latency_ms(0.5), run.latency_ms(0.99));
            rect(&mut svg, x + bar * 0.3, latency.y(p99), bar * 0.4, latency.y(p50), colour);
            rect(&mut svg, x, latency.y(p50) - 2.0, bar, latency.y(p50) + 2.0, colour);
            label(&mut svg, x + bar / 2.0, latency.y(p99) - 4.0, &short(p99));
        }
        for panel in [&rate, &latency] {
            label(&mut svg, start + group * 0.4, panel.top + PANEL + 16.0, &number.to_string());
        }
    }
    for panel in [&rate, &latency] {
        label(&mut svg, (LEFT + RIGHT) / 2.0, panel.top + PANEL + 34.0, "connections");
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, series: &[&Series]) {
    let mut x = LEFT;
    for (number, one) in series.iter().enumerate() {
        rect(svg, x, 36.0, 12.0, 48.0, COLOURS[number % COLOURS.len()]);
        let _ = writeln!(svg, "<text x='{:.0}' y='47'>{}</text>", x + 17.0, one.name);
        x += 40.0 + 7.0 * one.name.len() as f64;
    }
}

fn axis(svg: &mut String, top: f64, text: &str) {
    let _ = writeln!(svg, "<text x='{LEFT}' y='{:.1}' fill='#5f6368'>{text}</text>", top - 12.0);
}

fn rect(svg: &mut String, x: f64, top: f64, width: f64, bottom: f64, colour: &str) {
    let height = (bottom - top).max(1.0);
    let _ = writeln!(
        svg,
        "<rect x='{x:.1}' y='{top:.1}' width='{:.1}' height='{height:.1}' fill='{colour}'/>",
        width * 0.92
    );
}

fn label(svg: &mut String, x: f64, y: f64, text: &str) {
    let _ = writeln!(svg, "<text x='{x:.1}' y='{y:.1}' text-anchor='middle'>{text}</text>");
}

/// With commas; below ten with what matters.
fn thousands(value: f64) -> String {
    if value > 0.0 && value < 1.0 {
        return format!("{value}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn short(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// The next round number.
fn nice(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.2, 2.0, 4.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|round| *round >= value).unwrap_or(value)
}

fn decade(value: f64) -> f64 {
    10f64.powf(value.log10().ceil())
}
