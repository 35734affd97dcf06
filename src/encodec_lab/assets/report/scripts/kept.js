// What outlives a reload, one JSON value per page and name. From the file system a browser may refuse:
// then the value lives as long as the page.
class Kept {
  constructor(page, name, initial) {
    this.key = `encodec-lab/${page}/${name}`;
    this.outlivesReload = true;
    this.value = initial;
    try {
      const text = localStorage.getItem(this.key);
      if (text !== null) this.value = JSON.parse(text);
    } catch {
      this.outlivesReload = false;
    }
  }

  set(value) {
    this.value = value;
    try {
      localStorage.setItem(this.key, JSON.stringify(value));
    } catch {
      this.outlivesReload = false;
    }
  }
}
