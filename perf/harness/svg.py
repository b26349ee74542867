"""Curves as SVG: what docs/performance.md needs and no more (docs/adr has why this is not a library)."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 40, 50
COLORS = ("#c22f2f", "#1f5fa8", "#2f8f4e", "#8a5cb0", "#c98a1b", "#4a4a4a", "#1b9aa8", "#b0527f", "#7a6a3a")
OURS_WIDTH, OTHER_WIDTH = 3, 1.6


class Scale:
    """Of one axis: values to pixels."""

    def __init__(self, values, low_px, high_px, is_log, has_zero):
        low, high = (min(values), max(values)) if values else (0, 1)
        self.is_log = is_log and low > 0
        if self.is_log:
            self.low, self.high = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
            self.ticks = [10 ** n for n in range(self.low, self.high + 1)]
        else:
            self.low = 0 if has_zero else low
            step = nice_step(high - self.low)
            self.high = self.low + step * max(1, math.ceil((high - self.low) / step - 1e-9))
            self.ticks = [self.low + step * n for n in range(round((self.high - self.low) / step) + 1)]
        if self.high == self.low:
            self.high += 1
        self.low_px, self.high_px = low_px, high_px

    def px(self, value):
        at = math.log10(value) if self.is_log else value
        return self.low_px + (at - self.low) / (self.high - self.low) * (self.high_px - self.low_px)


def nice_step(size):
    """1, 2 or 5 times a power of ten, for about five ticks."""
    if size <= 0:
        return 1
    power = 10 ** math.floor(math.log10(size / 5))
    return next(power * factor for factor in (1, 2, 5, 10) if size / (power * factor) <= 6)


def tick_text(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:g}" if value == 0 or value >= 0.01 else f"{value:.1e}"


def chart(title, x_label, y_label, series, x_log=False, y_log=False, x_ticks=None):
    """An SVG document.  series: [(name, [(x, y), ...]), ...], the first being ours."""
    xs = [x for _, points in series for x, _ in points]
    ys = [y for _, points in series for _, y in points]
    x_scale = Scale(xs, LEFT, WIDTH - RIGHT, x_log, False)
    y_scale = Scale(ys, HEIGHT - BOTTOM, TOP, y_log, True)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>']
    for tick in y_scale.ticks:
        y = y_scale.px(tick)
        out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick_text(tick)}</text>')
    for tick in x_ticks or x_scale.ticks:
        x = x_scale.px(tick)
        out.append(f'<line x1="{x:.1f}" y1="{HEIGHT - BOTTOM}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM + 5}" stroke="#333"/>')
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick_text(tick)}</text>')
    out.append(f'<polyline points="{LEFT},{TOP} {LEFT},{HEIGHT - BOTTOM} {WIDTH - RIGHT},{HEIGHT - BOTTOM}" fill="none" stroke="#333"/>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>')
    out.append(f'<text x="16" y="{(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" '
               f'transform="rotate(-90 16 {(TOP + HEIGHT - BOTTOM) / 2})">{escape(y_label)}</text>')
    for number, (name, points) in enumerate(series):
        color = COLORS[number % len(COLORS)]
        width = OTHER_WIDTH if number else OURS_WIDTH
        line = " ".join(f"{x_scale.px(x):.1f},{y_scale.px(y):.1f}" for x, y in sorted(points))
        out.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="{width}"/>')
        out += [f'<circle cx="{x_scale.px(x):.1f}" cy="{y_scale.px(y):.1f}" r="3" fill="{color}"/>' for x, y in points]
        y = TOP + 10 + 18 * number
        out.append(f'<line x1="{WIDTH - RIGHT + 14}" y1="{y}" x2="{WIDTH - RIGHT + 38}" y2="{y}" stroke="{color}" stroke-width="{width}"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 44}" y="{y + 4}">{escape(name)}</text>')
    return "\n".join(out) + "\n</svg>\n"
