// A model's card: as much Markdown as cards hold, built from text nodes and never from markup.

import { el } from "./dom.js";

/** @param {string} text inline: **bold**, *emphasis*, `code`; links become their text @returns {(Node | string)[]} */
function inline(text) {
  const found = [];
  let rest = text.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
  for (let match; (match = /\*\*([^*]+)\*\*|`([^`]+)`|\*([^*\s][^*]*)\*/.exec(rest)); ) {
    found.push(rest.slice(0, match.index));
    const [whole, bold, code, emphasis] = match;
    found.push(bold ? el("strong", {}, bold) : code ? el("code", {}, code) : el("em", {}, emphasis));
    rest = rest.slice(match.index + whole.length);
  }
  return [...found, rest];
}

/** @param {string} line @returns {string[]} the cells of a table's row */
const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((c) => c.trim());

/** @param {string} text @param {string} scope what it is the header of; "" for none */
const cell = (text, scope) => (scope ? el("th", { scope }, ...inline(text)) : el("td", {}, ...inline(text)));

/** @param {string[]} lines @returns {Node} a table; a header without words is left out */
function table(lines) {
  const rows = lines.filter((l) => !/^\s*\|?[\s:|-]+\|?\s*$/.test(l) || !l.includes("-")).map(cells);
  const headed = lines.length > 1 && /^[\s:|-]+$/.test(lines[1]) && rows.length && rows[0].some((c) => c);
  const made = el("tbody");
  for (const row of rows.filter((r) => r.some((c) => c))) {
    const head = headed && row === rows[0];
    made.append(el("tr", {}, ...row.map((c, i) => cell(c, head ? "col" : i === 0 ? "row" : ""))));
  }
  return el("table", {}, made);
}

/** @type {[RegExp, (lines: string[]) => Node][]} what a block begins with, and how it is shown */
const BLOCKS = [
  [/^\s*\|/, table],
  [/^\s*[-*] /, (lines) => el("ul", {}, ...lines.map((l) => el("li", {}, ...inline(l.replace(/^\s*[-*] /, "")))))],
];

/** @param {string} markdown @returns {DocumentFragment} */
export function rendered(markdown) {
  const made = document.createDocumentFragment();
  const lines = markdown.split(/\r?\n/);
  for (let at = 0; at < lines.length; ) {
    const [node, next] = block(lines, at);
    if (node) made.append(node);
    at = next;
  }
  return made;
}

/** @param {string[]} lines @param {number} at @returns {[Node | null, number]} a block and where the next one begins */
function block(lines, at) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  const heading = /^(#{1,6})\s+(.*)$/.exec(line);
  if (heading) return [el(heading[1].length === 1 ? "h3" : "h4", {}, ...inline(heading[2])), at + 1];
  if (line.startsWith("```")) {
    const end = lines.findIndex((l, i) => i > at && l.startsWith("```"));
    const stop = end < 0 ? lines.length : end;
    return [el("pre", {}, el("code", {}, lines.slice(at + 1, stop).join("\n"))), stop + 1];
  }
  for (const [begins, shown] of BLOCKS) {
    if (!begins.test(line)) continue;
    const stop = until(lines, at, (l) => !begins.test(l));
    return [shown(lines.slice(at, stop)), stop];
  }
  const stop = until(lines, at + 1, (l) => !l.trim() || /^(#|```|\s*\||\s*[-*] )/.test(l));
  return [el("p", {}, ...inline(lines.slice(at, stop).join(" "))), stop];
}

/** @param {string[]} lines @param {number} from @param {(line: string) => boolean} ends */
function until(lines, from, ends) {
  let at = from;
  while (at < lines.length && !ends(lines[at])) at++;
  return at;
}

/** Whether a card says that its data are simulated. @param {string} card */
export const simulated = (card) => /simulat/i.test(card);
