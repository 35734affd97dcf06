// The key for each version: digits as far as they go.
function digitKeys(first, count) {
  return Array.from({ length: count }, (_, index) => (first + index < 10 ? String(first + index) : ""));
}

// Controls for an example that is shown openly, with a playhead on every spectrogram.
function showExample(article, exampleIndex, sounds) {
  const example = sounds.examples[exampleIndex];
  const player = new VersionPlayer(example.duration_s, () => sounds.open(exampleIndex));
  const buttons = [...article.querySelectorAll(".version")];
  const controls = new Controls(article, player, buttons, digitKeys(0, buttons.length));
  article.querySelector("h3").after(controls.bar);
  article.querySelectorAll(".spectrogram").forEach((picture, index) => {
    picture.append(element("b"));
    picture.addEventListener("click", (event) => {
      const box = picture.getBoundingClientRect();
      controls.select(index);
      player.seek(((event.clientX - box.left) / box.width) * player.duration);
    });
  });
  return controls;
}
