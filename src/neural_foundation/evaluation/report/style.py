"""The style sheet of the page; there is no script. On paper, closed details are left out and open ones kept.

Colours: Okabe and Ito 2008, which colour-blind readers tell apart; one accent, their blue. The dark variants are
lighter mixes of the same hues. d0 to d13 is a diverging map, blue through paper to vermilion, so that zero has the
colour of the page in light and in dark.
"""

from __future__ import annotations

from .topomap import BANDS

_LIGHT = {
    "paper": "#ffffff",
    "raised": "#f5f7f9",
    "ink": "#1b2126",
    "muted": "#5a6570",
    "rule": "#d5dbe0",
    "faint": "#e9edf0",
    "accent": "#0072b2",
    "s1": "#c65300",
    "s2": "#00805e",
    "s3": "#a8578a",
    "k0": "#d55e00",
    "k1": "#0072b2",
    "k2": "#009e73",
    "k3": "#cc79a7",
    "k4": "#e69f00",
    "k5": "#56b4e9",
    "k6": "#7a7212",
    "k7": "#8a949c",
    "band": "#e8ecef",
}
_DARK = {
    "paper": "#14181b",
    "raised": "#1c2226",
    "ink": "#e6eaed",
    "muted": "#a0abb4",
    "rule": "#3a444c",
    "faint": "#283036",
    "accent": "#56b4e9",
    "s1": "#f08a3c",
    "s2": "#35c79c",
    "s3": "#dd9cc3",
    "k0": "#f0803a",
    "k1": "#56b4e9",
    "k2": "#35c79c",
    "k3": "#dd9cc3",
    "k4": "#f2b632",
    "k5": "#a9dcf8",
    "k6": "#d8cf5a",
    "k7": "#7f8a93",
    "band": "#272f35",
}

_Rgb = tuple[int, int, int]
_MAP_LIGHT: tuple[_Rgb, ...] = (
    (0, 58, 112),
    (46, 134, 193),
    (176, 213, 238),
    (252, 252, 252),
    (248, 204, 172),
    (222, 112, 40),
    (122, 44, 0),
)
_MAP_DARK: tuple[_Rgb, ...] = (
    (150, 214, 255),
    (56, 140, 196),
    (28, 70, 104),
    (24, 29, 33),
    (104, 54, 22),
    (206, 104, 38),
    (255, 196, 148),
)


def _mix(stops: tuple[_Rgb, ...], share: float) -> str:
    at = share * (len(stops) - 1)
    i = min(int(at), len(stops) - 2)
    rgb = [round(a + (at - i) * (b - a)) for a, b in zip(stops[i], stops[i + 1], strict=True)]
    return "#" + "".join(f"{c:02x}" for c in rgb)


def _variables(colours: dict[str, str], stops: tuple[_Rgb, ...]) -> str:
    bands = {f"d{i}": _mix(stops, (i + 0.5) / BANDS) for i in range(BANDS)}
    return ";".join(f"--{name}:{value}" for name, value in {**colours, **bands}.items())


_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);overflow-wrap:break-word}
body{font:1rem/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",Arial,sans-serif}
main{max-width:64rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1,h2,.verdict{font-weight:600;line-height:1.25;text-wrap:balance}
h1,h2,.verdict{font-family:"Iowan Old Style","Palatino Linotype",Palatino,Charter,Georgia,"Liberation Serif",serif}
h1{font-size:1.15rem;color:var(--muted);margin:0 0 1rem;font-weight:400}
h2{font-size:1.45rem;margin:0 0 .6rem}
h3{font-size:1rem;margin:2rem 0 .5rem}
.verdict{font-size:clamp(1.5rem,1.1rem + 1.9vw,2.15rem);font-weight:400;margin:0 0 2rem;max-width:32em;text-wrap:pretty}
p{margin:0 0 .8rem;max-width:42em}
a{color:var(--accent);text-underline-offset:.15em}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:1.25rem 1.5rem}
.facts{margin:0 0 2rem;padding:1.25rem 0;border:solid var(--rule);border-width:1px 0}
.facts div{display:flex;flex-direction:column-reverse;justify-content:flex-end}
.facts dt{font-size:.85rem;color:var(--muted);line-height:1.35}
.facts dd{margin:0;font-size:1.6rem;line-height:1.25;font-variant-numeric:tabular-nums;white-space:nowrap}
.facts .first dd{color:var(--accent);font-weight:600}
.caveats{border-left:3px solid var(--accent);padding:.1rem 0 .1rem 1.1rem;margin:0 0 2rem;max-width:44em}
.caveats h2{font-size:1.05rem;margin:0 0 .3rem}
.caveats ul{margin:0;padding-left:1.1rem}
.caveats li{margin:.25rem 0}
nav{font-size:.9rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:0;padding:0}
nav a{display:inline-block;padding:.3rem 0}
section{margin:3.5rem 0 0;padding-top:1.75rem;border-top:1px solid var(--rule)}
figure{margin:1.4rem 0 .8rem;max-width:45rem}
figure svg{display:block;max-width:100%;height:auto;overflow:visible}
.narrow{display:none}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr));gap:1.5rem 2.5rem}
.pair svg,.single svg,.narrow svg{width:100%;max-width:27rem}
.single svg{max-width:23rem}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums;line-height:1.4}
caption{text-align:left;color:var(--muted);padding:.3rem 0 .4rem}
th,td{padding:.32rem .9rem .32rem 0;text-align:right;border-bottom:1px solid var(--faint);vertical-align:top}
th:first-child,.stack th,.stack td{text-align:left}
thead th{font-weight:600;border-bottom-color:var(--rule)}
tbody th{font-weight:400}
details{margin:0;font-size:.92rem;max-width:45rem}
summary{cursor:pointer;color:var(--muted);padding:.35rem 0;width:fit-content}
summary:hover{color:var(--ink)}
details[open]{padding-bottom:.6rem}
details dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.25rem 1rem;margin:.3rem 0}
details dt{color:var(--muted)}
details dd{margin:0}
code{font:.85em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;overflow-wrap:anywhere}
code span{display:inline-block;max-width:100%}
pre{margin:.4rem 0 1.2rem;padding:.8rem 1rem;background:var(--raised);border-radius:6px}
pre{white-space:pre-wrap;max-width:45rem}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:.15rem 1.2rem;margin:0 0 .6rem;padding:0;font-size:.85rem}
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px}
.swatch.dashes{height:0;width:1.3em;border-top:1.5px dashed var(--ink);border-radius:0;vertical-align:middle}
.swatch.upright{width:0;height:1em;border-left:2px dotted var(--ink);border-radius:0;vertical-align:-.1em}
.swatch.truthkey{background:var(--faint);border-top:4px solid var(--muted);border-radius:0;width:1.1em}
.swatch.hollow{border:2px solid var(--s1);background:none}
.swatch.filled{background:var(--accent);border-radius:50%}
.confusion{table-layout:fixed;width:100%}
.confusion th,.confusion td{padding:.55rem .4rem;text-align:center;vertical-align:middle}
.confusion tbody th,.confusion th:first-child{text-align:left}
.confusion th{border:0}
.confusion td{border:3px solid var(--paper);border-radius:8px}
.confusion td{background:color-mix(in srgb,var(--accent) calc(var(--share)*1%),var(--raised))}
.confusion td.strong{color:var(--paper)}
.confusion td b{display:block;font-size:1.15rem;font-weight:600}
.mapgrid{display:flex;flex-wrap:wrap;gap:1.2rem 1.6rem}
.maps{display:flex;gap:.2rem;background:var(--raised);border-radius:10px;padding:.8rem .6rem .5rem}
.map{width:9.6rem;max-width:50%;text-align:center;flex:0 1 auto}
.maps .map:only-child{max-width:none}
.map p{margin:0;font-size:.85rem;line-height:1.3}
.map .mapnote{color:var(--muted);font-size:.78rem}
.bars{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin-top:1rem}
footer{margin-top:4rem;color:var(--muted);font-size:.85rem}
.back{position:absolute;left:-999rem}
.back:focus{left:1rem;top:.5rem;background:var(--paper);padding:.4rem .8rem}
svg text{font-size:12.5px;fill:var(--ink);font-variant-numeric:tabular-nums}
svg .tick,svg .axis{fill:var(--muted);font-size:12px}
svg .small{fill:var(--muted);font-size:11px}
svg .strong{font-weight:600}
.truth{opacity:1}
svg .wrong,.key .wrong{font-size:15px;font-weight:700;fill:var(--ink)}
svg .halo{paint-order:stroke;stroke:var(--paper);stroke-width:3px;stroke-linejoin:round}
.grid{stroke:var(--faint);stroke-width:1}
.row{stroke:var(--faint);stroke-width:1}
.base{stroke:var(--muted);stroke-width:1}
.zero{stroke:var(--ink);stroke-width:1}
.chance{stroke:var(--muted);stroke-width:1.2;stroke-dasharray:4 3}
.band{fill:var(--band)}
.main{fill:var(--accent);stroke:var(--paper);stroke-width:1}
.open{fill:var(--paper);stroke-width:1.6}
.open.s1{stroke:var(--s1)}.open.s2{stroke:var(--s2)}.open.s3{stroke:var(--s3)}
.ceiling{fill:var(--muted)}
.whisker{stroke-width:2;fill:none}
.whisker.main{stroke:var(--accent);stroke-width:2.6}
.whisker.ceiling{stroke:var(--muted)}
.dot{fill:var(--muted);fill-opacity:.65}
.fold{fill:none;stroke:var(--accent);stroke-width:1.4;stroke-opacity:.75;stroke-linejoin:round}
.ring{fill:var(--paper);stroke:var(--accent);stroke-width:1.8}
.bar{fill:var(--accent);fill-opacity:.55}
.mark{stroke:var(--ink);stroke-width:1}
.shade{opacity:.13}
.area{opacity:.75}
.probability{fill:none;stroke:var(--ink);stroke-width:.8;stroke-linejoin:round}
path.probability[class*=" k"]{fill:none;stroke-width:1.5}
.threshold{stroke:var(--ink);stroke-width:.9;stroke-dasharray:3 3;stroke-opacity:.7}
.reset{stroke:var(--ink);stroke-width:1.6;stroke-dasharray:1.5 2.5}
.head{fill:none;stroke:var(--ink);stroke-width:1.4;stroke-linejoin:round}
.electrode{fill:var(--ink)}
.contour{stroke:var(--ink);stroke-opacity:.28;stroke-width:.6}
@media (max-width:40rem){
main{padding-top:1.6rem}
section{margin-top:2.2rem;padding-top:1.4rem}
.narrow{display:block}.wide{display:none}
.facts{grid-template-columns:1fr 1fr}
.maps{width:100%;justify-content:space-evenly}
.stack thead{position:absolute;left:-999rem}
.stack,.stack caption,.stack tbody,.stack tr,.stack th,.stack td{display:block}
.stack tr{padding:.6rem 0;border-bottom:1px solid var(--rule)}
.stack th,.stack td{border:0;padding:.1rem 0}
.stack td{display:inline-block;margin-right:1.1rem}
.stack th{font-weight:600}
.stack td::before{content:attr(data-label) ": ";color:var(--muted)}
details dl{grid-template-columns:1fr;gap:0}
details dd{margin-bottom:.4rem}
}
@media (min-width:72rem){
main{max-width:70rem}
.block{display:grid;grid-template-columns:45rem minmax(0,1fr);column-gap:3rem;align-items:start}
.block>*{grid-column:1}
.block>.reading{grid-column:2;grid-row:2/span 3;font-size:.92rem;color:var(--muted);margin-top:1.6rem}
.block>.reading:has(+.plain){grid-column:1;grid-row:auto}
}
@media print{
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{font-size:10.5pt}
main{padding:0;max-width:none}
nav,.back,details:not([open]){display:none}
section{margin-top:1.6rem;padding-top:1rem}
figure,.caveats,.facts,tr{break-inside:avoid}
h2,h3,summary{break-after:avoid}
.scroll{overflow:visible}
}
"""


def style_sheet() -> str:
    """Return the whole style sheet."""
    light, dark = _variables(_LIGHT, _MAP_LIGHT), _variables(_DARK, _MAP_DARK)
    scheme = f":root{{color-scheme:light dark;{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    fills = "".join(f".d{i}{{fill:var(--d{i})}}" for i in range(BANDS))
    kinds = "".join(
        f".k{i}{{fill:var(--k{i})}}.swatch.k{i}{{background:var(--k{i})}}path.probability.k{i}{{stroke:var(--k{i})}}"
        for i in range(8)
    )
    whiskers = "".join(f".whisker.s{i}{{stroke:var(--s{i})}}" for i in (1, 2, 3))
    return scheme + fills + kinds + _RULES.replace("\n", "") + whiskers
