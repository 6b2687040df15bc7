// Numbers for people.

/** @param {number} seconds @returns {string} "1:05" or "1:02:05" */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** @param {number} volts @returns {string} "20 µV" */
export function volts(volts) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([["V", 1], ["mV", 1e-3], ["µV", 1e-6]])) {
    if (volts >= size * 0.9999) return `${short(volts / size)} ${unit}`;
  }
  return `${short(volts / 1e-9)} nV`;
}

/** @param {number} seconds @returns {string} "0.31 ms" */
export function delay(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds >= 1) return "over 1 s";
  if (seconds >= 1e-3) return `${short(seconds * 1e3)} ms`;
  return `${short(seconds * 1e6)} µs`;
}

/** @param {number} value @returns {string} three digits that matter */
export function short(value) {
  return String(Number(value.toPrecision(3)));
}

/** @param {number} share @returns {string} "83 %" */
export const percent = (share) => (Number.isFinite(share) ? `${Math.round(100 * share)} %` : "–");

/**
 * The largest of 1, 2, 5 times a power of ten that is not above the value.
 * @param {number} value
 */
export function niceBelow(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const lead = value / power * 1.000001;
  return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * power;
}
