// Makes an element: attributes by name, listeners as "onclick", children as nodes or text.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function button(text, onclick, attributes = {}) {
  return element("button", { type: "button", onclick, ...attributes }, text);
}

function seconds(value) {
  return `${value.toFixed(1)} s`;
}

// Hands a file to the reader; works from the file system too.
function download(name, value) {
  const address = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2) + "\n"], { type: "application/json" }));
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// A button that makes a version audible, with the key that does the same.
function versionButton(name, key) {
  return element("button", { type: "button", class: "version" }, element("kbd", {}, key), ` ${name}`);
}
