// How somebody likes to look at signals, kept in this browser; nothing here is secret.

const NAME = "neural-foundation.view";
const DEFAULTS = { span: "10", gain: "auto", rows: "auto", motion: "" };

/** @typedef {typeof DEFAULTS} Settings */

/** @returns {Settings} */
export function kept() {
  let found = {};
  try {
    found = JSON.parse(localStorage.getItem(NAME) ?? "{}");
  } catch {
    // what is not ours is left aside
  }
  const settings = { ...DEFAULTS };
  for (const [name, value] of Object.entries(found)) if (name in DEFAULTS) settings[name] = String(value);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  return { ...settings, motion: settings.motion || (calm ? "sweep" : "scroll") };
}

/** @param {Settings} settings */
export function keep(settings) {
  try {
    localStorage.setItem(NAME, JSON.stringify(settings));
  } catch {
    // a browser that keeps nothing forgets it with the tab
  }
}
