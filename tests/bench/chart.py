"""The picture of ``scale``: lag over the number of browsers, both on logarithmic axes, one line a way of writing. SVG, no library."""

import math

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 30, 50
COLOURS = ("#b3423a", "#2f6f9f", "#3d8b4f")
SECONDS = (0.01, 0.1, 1, 10)


def drawn(rows, *, bound):
    """``rows`` have way, size and lag (seconds)."""
    sizes = sorted({row["size"] for row in rows})
    low, high = math.log10(sizes[0]), math.log10(sizes[-1]) + 1e-9

    def x(size):
        return LEFT + (math.log10(size) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(lag):
        share = (math.log10(min(max(lag, SECONDS[0]), SECONDS[-1])) + 2) / 3
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [_text(LEFT, 18, "lag p99 (s) by number of browsers, one heartbeat each 5 s", weight="bold")]
    parts += [
        _line(LEFT, y(s), WIDTH - RIGHT, y(s), "#ddd") + _text(LEFT - 8, y(s) + 4, f"{s:g}", anchor="end")
        for s in SECONDS
    ]
    parts += [_text(x(size), HEIGHT - BOTTOM + 20, f"{size:,}", anchor="middle") for size in sizes]
    parts += [
        _line(LEFT, y(bound), WIDTH - RIGHT, y(bound), "#999", dash="4 4"),
        _text(WIDTH - RIGHT + 6, y(bound) + 4, f"stale over {bound:g} s"),
    ]
    for number, (colour, way) in enumerate(zip(COLOURS, dict.fromkeys(row["way"] for row in rows), strict=False)):
        points = [(x(row["size"]), y(row["lag"])) for row in rows if row["way"] == way]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" fill="{colour}"/>' for px, py in points]
        parts.append(_text(WIDTH - RIGHT + 6, HEIGHT - BOTTOM - 20 * number, way, colour=colour))
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{inside}\n</svg>\n'
    )


def _text(x, y, words, *, anchor="start", colour="#333", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}">{words}</text>'


def _line(x1, y1, x2, y2, colour, *, dash="none"):
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-dasharray="{dash}"/>'
    )
