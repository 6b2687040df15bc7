// The form for a key, shown where the server asks for one.

import { key } from "./api.js";
import { byId, say } from "./dom.js";

/**
 * Ask for a key and keep it in this tab.
 * @param {string} why what was wrong with the one before; "" where there was none
 * @returns {Promise<void>} when one was given
 */
export function ask(why) {
  const dialog = byId("login");
  const field = byId("key");
  say(byId("login-error"), why);
  key.forget();
  dialog.oncancel = (/** @type {Event} */ event) => event.preventDefault();
  if (!dialog.open) dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    byId("login-form").onsubmit = (/** @type {Event} */ event) => {
      event.preventDefault();
      const given = field.value.trim();
      if (!/^[\w.~+/=-]+$/.test(given)) {
        say(byId("login-error"), "A key has letters, digits and . _ - alone.");
        return;
      }
      key.keep(given);
      field.value = "";
      dialog.close();
      resolve();
    };
  });
}
