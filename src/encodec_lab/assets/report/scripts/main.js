const payload = document.getElementById("listening");
if (payload !== null) {
  const { id, examples } = JSON.parse(payload.textContent);
  payload.remove(); // megabytes, and names in order
  const sounds = new Sounds(examples);
  const page = { id, sounds, unfinished: new Kept(id, "unfinished", null), results: new Kept(id, "results", []) };
  const articles = [...document.querySelectorAll("article.example")];
  articles.forEach((article, index) => showExample(article, index, sounds));
  document.getElementById("keys").replaceWith(keysHelp());
  const blind = document.getElementById("blind");
  if (blind !== null) new BlindSetup(blind, page);
}
