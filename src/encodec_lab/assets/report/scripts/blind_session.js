const TEST_KINDS = { abx: AbxTest, rating: RatingTest };

function describeVersion({ name, system, bandwidth_kbps, true_kbps }) {
  return { name, system, bandwidth_kbps, true_kbps };
}

// One blind test in a window of its own, over a page whose pictures and names are hidden meanwhile. What was answered
// is kept at once, so that a reload loses nothing.
class BlindSession {
  constructor(state, page, onclose) {
    this.state = state;
    this.page = page;
    this.onclose = onclose;
    this.test = new TEST_KINDS[state.kind](state, page.sounds, this);
    this.place = element("div", { class: "place" });
    this.dialog = element(
      "dialog", { class: "blind", "aria-labelledby": "blind-title" },
      element("header", {}, element("h2", { id: "blind-title" }, state.kind === "abx" ? "ABX test" : "Rating"),
        button("Leave", () => this.dialog.close(), { class: "leave" })),
      this.place,
      keysHelp(),
    );
    this.dialog.addEventListener("close", () => this.closed());
  }

  open() {
    document.body.append(this.dialog);
    document.querySelector("main").hidden = true;
    this.dialog.showModal();
    this.keep();
    this.test.show(this.place);
  }

  // Keys go to the test's controls, which go on playing where others did.
  use(controls) {
    const before = Controls.active;
    const wasPlaying = before !== null && before.player.playing;
    controls.activate();
    if (before !== null && before.loop.checked) controls.toggleLoop();
    if (wasPlaying) controls.toggle();
    controls.playButton.focus();
  }

  keep() {
    this.page.unfinished.set(this.state);
  }

  // Shows what was found, now with names.
  finish() {
    this.state.finished = new Date().toISOString();
    silence();
    this.dialog.classList.add("done");
    this.page.results.set([...this.page.results.value, this.test.result()]);
    this.page.unfinished.set(null);
    const save = button("Save results (JSON)", () => saveResults(this.page), { class: "primary save" });
    this.place.replaceChildren(element("p", { class: "progress", role: "status" }, "Done."), ...this.test.summary(),
      element("div", { class: "row" }, save, button("Close", () => this.dialog.close())));
    save.focus();
  }

  closed() {
    silence();
    this.dialog.remove();
    document.querySelector("main").hidden = false;
    this.onclose();
  }
}

function silence() {
  if (Controls.active !== null && Controls.active.player.playing) Controls.active.player.pause();
  Controls.active = null;
}

// All results of this page, an unfinished test included.
function saveResults(page) {
  const state = page.unfinished.value;
  const unfinished = state === null ? [] : [new TEST_KINDS[state.kind](state, page.sounds, null).result()];
  download(`listening_${page.id}.json`, {
    format: "encodec-lab listening test 1",
    page: { title: document.title, id: page.id },
    saved: new Date().toISOString(),
    user_agent: navigator.userAgent,
    tests: [...page.results.value, ...unfinished],
  });
}
