// What to test, what was left unfinished, and the results so far.
class BlindSetup {
  constructor(place, page) {
    this.place = place;
    this.page = page;
    this.examples = page.sounds.examples;
    this.show();
  }

  show() {
    this.place.replaceChildren(...this.pastParts(), this.form());
  }

  pastParts() {
    const { unfinished, results } = this.page;
    const parts = [];
    if (unfinished.value !== null) {
      parts.push(element("div", { class: "row notice" }, "A test is unfinished.",
        button("Go on", () => this.run(unfinished.value), { class: "primary resume" }),
        button("Discard", () => this.change(() => unfinished.set(null)))));
    }
    if (results.value.length > 0 || unfinished.value !== null) {
      const count = results.value.length;
      const where = results.outlivesReload ? "" : " This browser keeps nothing for this page: save before you leave.";
      parts.push(element("div", { class: "row notice" }, `${count} finished ${count === 1 ? "test" : "tests"}.${where}`,
        button("Save results (JSON)", () => saveResults(this.page), { class: "save" }),
        button("Delete results", () => this.change(() => confirm("Delete all results of this page?") && results.set([])))));
    }
    return parts;
  }

  change(action) {
    action();
    this.show();
  }

  form() {
    this.problem = element("span", { role: "alert" });
    const seed = element("input", { type: "number", min: 0, max: 4294967295, step: 1, placeholder: "random", name: "seed" });
    const kinds = { abx: this.abxPart(), rating: this.ratingPart() };
    const choose = (kind) => {
      for (const [one, part] of Object.entries(kinds)) {
        // What is hidden must not keep the form from being sent.
        part.fieldset.hidden = part.fieldset.disabled = one !== kind;
      }
      form.dataset.kind = kind;
    };
    const choices = [["abx", "ABX: can I hear a difference?"], ["rating", "Rating: how good is each? (MUSHRA)"]];
    const form = element(
      "form", { class: "panel setup", onsubmit: (event) => {
        event.preventDefault();
        const { kind } = form.dataset;
        const setup = kinds[kind].setup();
        this.problem.textContent = kinds[kind].problemWith(setup);
        if (this.problem.textContent === "") this.begin(kind, setup, seed.value === "" ? freshSeed() : Number(seed.value));
      } },
      element("div", { class: "row" }, ...choices.map(([kind, text], index) => element("label", {},
        element("input", { type: "radio", name: "kind", value: kind, checked: index === 0, onchange: () => choose(kind) }), ` ${text}`))),
      kinds.abx.fieldset,
      kinds.rating.fieldset,
      element("div", { class: "row" }, element("label", {}, "Seed ", seed),
        element("button", { type: "submit", class: "primary start" }, "Start"), this.problem),
    );
    choose("abx");
    return form;
  }

  abxPart() {
    const select = (name, texts) => element("select", { name }, ...texts.map((text, value) => element("option", { value }, text)));
    const example = select("example", this.examples.map((one) => one.name));
    const trials = element("input", { type: "number", name: "trials", min: 1, max: 100, value: 16, required: true });
    const pair = element("span", { class: "row" });
    const showPair = () => {
      const names = this.examples[Number(example.value)].versions.map((one) => one.name);
      pair.replaceChildren(element("label", {}, "A ", select("a", names)), element("label", {}, "B ", select("b", names)));
      pair.querySelector("[name=b]").value = Math.min(1, names.length - 1);
    };
    example.addEventListener("change", showPair);
    showPair();
    const fieldset = element("fieldset", { class: "row" },
      element("label", {}, "Recording ", example), pair, element("label", {}, "Trials ", trials));
    const chosen = (name) => Number(pair.querySelector(`[name=${name}]`).value);
    const setup = () => ({ example: Number(example.value), a: chosen("a"), b: chosen("b"), numTrials: Number(trials.value) });
    const problemWith = ({ a, b }) => (a === b ? "Choose two versions." : "");
    return { fieldset, setup, problemWith };
  }

  // Versions are chosen by name for all recordings; the original is always there, as the hidden reference.
  ratingPart() {
    const box = (name, value, text) =>
      element("label", {}, element("input", { type: "checkbox", name, value, checked: true }), ` ${text}`);
    const names = [...new Set(this.examples.flatMap((one) => one.versions.slice(1).map((version) => version.name)))];
    const group = (title, boxes) => element("div", { class: "row", role: "group", "aria-label": title }, element("b", {}, title), ...boxes);
    const fieldset = element("fieldset", {},
      group("Recordings", this.examples.map((one, index) => box("recording", index, one.name))),
      group("Versions", names.map((name) => box("version", name, name))));
    const checked = (name) => [...fieldset.querySelectorAll(`[name=${name}]:checked`)].map((one) => one.value);
    const setup = () => {
      const wanted = new Set(checked("version"));
      const examples = checked("recording").map(Number);
      const versions = examples.map((index) =>
        this.examples[index].versions.flatMap((one, version) => (version === 0 || wanted.has(one.name) ? [version] : [])));
      return { examples, versions };
    };
    const problemWith = ({ examples, versions }) =>
      examples.length === 0 || versions.some((list) => list.length < 2) ? "Choose a recording and a version." : "";
    return { fieldset, setup, problemWith };
  }

  begin(kind, setup, seed) {
    if (this.page.unfinished.value !== null && !confirm("Start anew? The unfinished test is discarded.")) return;
    const progress = kind === "abx" ? { trials: [] } : { page: 0, ratings: [] };
    this.run({ kind, seed, setup, started: new Date().toISOString(), ...progress });
  }

  run(state) {
    silence();
    new BlindSession(state, this.page, () => this.show()).open();
  }
}
