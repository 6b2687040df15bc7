// Canvases as sharp as the screen, and colours of the style sheet for them.

/**
 * Keep a canvas's pixels equal to the screen's.
 * @param {HTMLCanvasElement} canvas
 * @param {() => void} changed called when its size changed; its content is gone then
 */
export function sharp(canvas, changed) {
  const fit = () => {
    const box = canvas.getBoundingClientRect();
    const width = Math.max(1, Math.round(box.width * devicePixelRatio));
    const height = Math.max(1, Math.round(box.height * devicePixelRatio));
    if (width === canvas.width && height === canvas.height) return;
    canvas.width = width;
    canvas.height = height;
    changed();
  };
  new ResizeObserver(fit).observe(canvas);
  fit();
}

const CLASSES = 8;

/** The colours, read again when the scheme changes. */
export class Colours {
  /** @param {() => void} changed */
  constructor(changed) {
    this.read();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.read();
      changed();
    });
  }

  read() {
    const style = getComputedStyle(document.documentElement);
    const of = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
    this.plot = of("plot");
    this.grid = of("grid");
    this.ink = of("ink");
    this.muted = of("muted");
    this.accent = of("accent");
    this.alarm = of("alarm");
    this.traceA = of("trace-a");
    this.traceB = of("trace-b");
    this.marks = { missing: of("mark-missing"), skipped: of("mark-skipped"), invalid: of("mark-invalid") };
    this.classes = Array.from({ length: CLASSES }, (_, i) => of(`k${i}`));
    this.font = getComputedStyle(document.body).fontFamily;
  }

  /** @param {number} index of a class */
  ofClass(index) {
    return this.classes[index % CLASSES];
  }
}

/** How lines of more classes than colours are told apart. @param {number} index @returns {number[]} */
export const dashes = (index) => [[], [6, 3], [2, 2]][Math.floor(index / CLASSES) % 3];

/** @type {Map<string, CanvasPattern>} */
const patterns = new Map();

/**
 * A pattern of lines over a tint, for a stretch of some mark.
 * @param {CanvasRenderingContext2D} ctx @param {string} colour @param {string} mark
 */
export function hatch(ctx, colour, mark) {
  const name = `${colour} ${mark}`;
  const made = patterns.get(name) ?? ctx.createPattern(tile(colour, mark), "repeat");
  patterns.set(name, /** @type {CanvasPattern} */ (made));
  return /** @type {CanvasPattern} */ (made);
}

/** @param {string} colour @param {string} mark @returns {OffscreenCanvas} */
function tile(colour, mark) {
  const size = 8;
  const made = new OffscreenCanvas(size, size);
  const brush = /** @type {OffscreenCanvasRenderingContext2D} */ (made.getContext("2d"));
  brush.globalAlpha = 0.16;
  brush.fillStyle = colour;
  brush.fillRect(0, 0, size, size);
  brush.globalAlpha = 0.5;
  brush.strokeStyle = colour;
  brush.beginPath();
  if (mark === "missing") for (const x of [-size, 0, size]) brush.moveTo(x, size), brush.lineTo(x + size, 0);
  if (mark === "skipped") brush.moveTo(0, 4.5), brush.lineTo(size, 4.5);
  if (mark === "invalid") for (const x of [-size, 0, size]) brush.moveTo(x, 0), brush.lineTo(x + size, size);
  brush.stroke();
  return made;
}
