// Small helpers around the document. Foreign text only ever becomes a text node.

/**
 * @param {string} id
 * @returns {any} the element of this id
 */
export const byId = (id) => document.getElementById(id);

/**
 * Make an element; strings among the children become text nodes.
 * @param {string} tag
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * Set an element's text, where it differs: the document is not touched for nothing.
 * @param {Node} node
 * @param {string} text
 */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Make the buttons of all dialogs close them, and a press beside one too, but for those that must be answered.
 * @param {string[]} mustAnswer ids
 */
export function dialogs(mustAnswer) {
  for (const dialog of document.querySelectorAll("dialog")) {
    if (mustAnswer.includes(dialog.id)) continue;
    dialog.addEventListener("click", (event) => {
      const target = /** @type {Element} */ (event.target);
      if (target === dialog || target.closest("[data-close]")) dialog.close();
    });
  }
}
