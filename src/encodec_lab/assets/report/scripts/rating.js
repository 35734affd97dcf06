const SCALE = ["Bad", "Poor", "Fair", "Good", "Excellent"];

// The order in which one example's chosen versions appear, the original hidden among them.
function ratingOrder(seed, example, versions) {
  return shuffled(versions, seededRandom((seed + Math.imul(example + 1, 0x9e3779b1)) >>> 0));
}

function letter(index) {
  return String.fromCharCode(65 + index);
}

// MUSHRA-style (ITU-R BS.1534): all versions of an example beside an open reference, unnamed and in random order.
class RatingTest {
  constructor(state, sounds, session) {
    Object.assign(this, { state, sounds, session });
  }

  show(place) {
    const { state } = this;
    if (state.page === state.setup.examples.length) return this.session.finish();
    const exampleIndex = state.setup.examples[state.page];
    const chosen = state.setup.versions[state.page];
    const order = ratingOrder(state.seed, exampleIndex, chosen);
    state.ratings[state.page] ??= { scores: {}, started: new Date().toISOString() };
    this.next = button(this.nextText(), () => this.turn(1, place), { class: "primary" });
    const keys = digitKeys(0, order.length + 1);
    const versions = ["Reference", ...order.map((_, index) => letter(index))].map((name, index) => versionButton(name, keys[index]));
    const bar = element("div", { class: "row" });
    const root = element(
      "div", {},
      element("p", { class: "progress", role: "status" }, `Recording ${state.page + 1} of ${state.setup.examples.length}`),
      element("p", {}, "How close to the reference is each? One of them is the reference itself: it should get 100."),
      bar,
      element("div", { class: "row" }, versions[0]),
      element("div", { class: "scale", "aria-hidden": "true" }, ...SCALE.map((word) => element("span", {}, word))),
      element("div", { class: "ratings" }, ...order.flatMap((version, index) => this.row(versions[index + 1], version, index))),
      element("div", { class: "row" }, button("Back", () => this.turn(-1, place), { disabled: state.page === 0 }), this.next),
    );
    const player = new VersionPlayer(this.sounds.examples[exampleIndex].duration_s, async () => {
      const { context, buffers } = await this.sounds.open(exampleIndex);
      return { context, buffers: [0, ...order].map((index) => buffers[index]) };
    });
    const controls = new Controls(root, player, versions, keys);
    bar.append(controls.bar);
    place.replaceChildren(root);
    this.session.use(controls);
    this.checkComplete();
    return undefined;
  }

  // A blinded version's button, slider and score.
  row(versionOfRow, version, index) {
    const { scores } = this.state.ratings[this.state.page];
    const shown = element("output", {}, version in scores ? String(scores[version]) : "–");
    const slider = element("input", {
      type: "range", min: 0, max: 100, step: 1, value: scores[version] ?? 50, class: version in scores ? "rating" : "rating unset",
      "aria-label": `Rating of ${letter(index)}, 0 bad to 100 excellent`,
    });
    const rate = () => {
      scores[version] = Number(slider.value);
      shown.textContent = slider.value;
      slider.classList.remove("unset");
      this.session.keep();
      this.checkComplete();
    };
    slider.addEventListener("input", rate);
    slider.addEventListener("click", rate); // where it stood already
    return [versionOfRow, slider, shown];
  }

  nextText() {
    return this.state.page === this.state.setup.examples.length - 1 ? "Finish" : "Next recording";
  }

  checkComplete() {
    const { state } = this;
    const missing = state.setup.versions[state.page].length - Object.keys(state.ratings[state.page].scores).length;
    this.next.disabled = missing > 0;
    this.next.title = missing > 0 ? `${missing} still to rate` : "";
  }

  turn(distance, place) {
    if (distance > 0) this.state.ratings[this.state.page].finished = new Date().toISOString();
    this.state.page += distance;
    this.session.keep();
    this.show(place);
  }

  summary() {
    const scores = new Map();
    for (const { ratings } of this.result().examples) {
      for (const { name, score } of ratings) scores.set(name, [...(scores.get(name) ?? []), score]);
    }
    const means = [...scores].map(([name, list]) => [name, list.reduce((sum, one) => sum + one, 0) / list.length, list.length]);
    means.sort((one, other) => other[1] - one[1]);
    const rows = means.map(([name, mean, count]) =>
      element("tr", {}, element("td", {}, name), element("td", {}, mean.toFixed(1)), element("td", {}, String(count))));
    const head = ["version", "mean rating", "recordings"].map((text) => element("th", { scope: "col" }, text));
    return [element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))];
  }

  result() {
    const { state } = this;
    const pages = state.ratings.map((page, index) => {
      const exampleIndex = state.setup.examples[index];
      const example = this.sounds.examples[exampleIndex];
      const order = ratingOrder(state.seed, exampleIndex, state.setup.versions[index]);
      const rated = order.map((version, place) => ({ version, shown_as: letter(place) })).filter(({ version }) => version in page.scores);
      return {
        example: example.name,
        domain: example.domain,
        started: page.started,
        finished: page.finished ?? null,
        ratings: rated.map(({ version, shown_as }) => ({
          ...describeVersion(example.versions[version]), hidden_reference: version === 0, shown_as, score: page.scores[version],
        })),
      };
    });
    return { kind: "rating", seed: state.seed, started: state.started, finished: state.finished ?? null, examples: pages };
  }
}
