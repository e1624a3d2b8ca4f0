// The line above the message box, which covers nothing.

/**
 * Says something there.
 *
 * @param {string} id of the line
 * @param {string} words
 */
export const sayStatus = (id, words) => {
  const said = document.createElement("p");
  said.id = id;
  said.setAttribute("role", "status");
  said.textContent = words;
  const composer = document.querySelector("#message textarea")?.closest(".gr-group:has(> .gr-group)");
  if (composer) composer.before(said);
  else document.body.append(said);
  return said;
};
