const KEYS_HELP = [
  ["Space", "play or pause"],
  ["0–9", "a version"],
  ["← →", "the one before or after"],
  ["Shift ← →", "1 s back or on"],
  ["L", "loop"],
];

function keysHelp() {
  const parts = KEYS_HELP.map(([key, meaning]) => element("span", {}, element("kbd", {}, key), ` ${meaning}`));
  return element("p", { class: "keys", "aria-label": "Keys" }, ...parts);
}

// Keys for the active controls, unless what has the focus needs the key itself.
function onKey(event) {
  const controls = Controls.active;
  if (controls === null || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("select, textarea, input:not([type=range], [type=checkbox], [type=radio])")) return;
  if (!controls.root.isConnected || controls.root.closest("[hidden]")) return;
  const action = actionOf(event, controls);
  if (action === null) return;
  event.preventDefault();
  action();
}

function actionOf(event, controls) {
  const { key, target } = event;
  const isArrow = key === "ArrowLeft" || key === "ArrowRight";
  const distance = key === "ArrowLeft" ? -1 : 1;
  if (isArrow && event.shiftKey) return () => controls.seekBy(distance * SEEK_STEP_S);
  if (isArrow) return target.closest("input[type=range], input[type=radio]") ? null : () => controls.step(distance);
  if (key === " ") {
    // On a version's button it would only select once more what is selected.
    return target.closest("button:not(.version), summary, a, input:not([type=range])") ? null : () => controls.toggle();
  }
  if (key.toLowerCase() === "l") return () => controls.toggleLoop();
  const index = controls.keys.indexOf(key);
  return index < 0 ? null : () => controls.select(index);
}

document.addEventListener("keydown", onKey);
