// The viewer: two layers, one on either side of a divider that is a range input, so that keys and touch move it too.
(() => {
  const data = document.getElementById("layers");
  if (!data) return;
  const layers = JSON.parse(data.textContent);
  const split = document.querySelector(".split");
  const divider = document.getElementById("divider");
  for (const side of ["left", "right"]) {
    const select = document.getElementById(side);
    const image = split.querySelector("img." + side);
    const caption = document.getElementById(side + "-caption");
    const show = () => {
      const layer = layers[select.value];
      image.src = layer.src;
      image.alt = layer.label;
      caption.textContent = layer.caption ? layer.label + ": " + layer.caption : layer.label;
    };
    select.value = select.dataset.start;
    select.addEventListener("change", show);
    show();
  }
  const move = () => {
    split.style.setProperty("--split", divider.value + "%");
    divider.setAttribute("aria-valuetext", Math.round(divider.value) + " % left");
  };
  divider.addEventListener("input", move);
  // A range input steps by 0.1 for fine dragging; arrow keys go 2 % at a time, with shift 10 %.
  divider.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    divider.value = Number(divider.value) + by * (event.shiftKey ? 10 : 2);
    move();
  });
  move();
  const buttons = document.querySelectorAll("[data-zoom]");
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const stage = split.parentElement;
      const middle = [
        (stage.scrollLeft + stage.clientWidth / 2) / stage.scrollWidth,
        (stage.scrollTop + stage.clientHeight / 2) / stage.scrollHeight,
      ];
      const zoom = Number(button.dataset.zoom);
      split.classList.toggle("zoomed", zoom > 0);
      split.style.setProperty("--zoom", zoom || 1);
      for (const other of buttons) other.setAttribute("aria-pressed", other === button);
      stage.scrollLeft = middle[0] * stage.scrollWidth - stage.clientWidth / 2;
      stage.scrollTop = middle[1] * stage.scrollHeight - stage.clientHeight / 2;
    });
  }
})();

// The bytes of a file and the fields that they hold, each lighting the other up.
for (const box of document.querySelectorAll(".dissection")) {
  const { hex, parts, size } = JSON.parse(box.querySelector("script").textContent);
  const grid = box.querySelector(".hex");
  const fields = box.querySelector(".fields");
  const count = hex.length / 2;
  const owners = Array.from({ length: count }, () => []); // the parts in each byte
  const groups = new Map();
  const rows = [];
  let at = 0;
  parts.forEach(([name, bits, value, group, role], index) => {
    if (!groups.has(group)) groups.set(group, "s" + ((groups.size + 1) % 8));
    const color = groups.get(group);
    if (index === 0 || parts[index - 1][3] !== group) {
      const heading = document.createElement("h5");
      heading.className = color;
      heading.textContent = group || "file";
      fields.append(heading);
    }
    const row = document.createElement("p");
    row.className = color;
    const length = bits % 8 || at % 8 ? bits + " bits" : bits / 8 + (bits === 8 ? " byte" : " bytes");
    for (const [kind, text] of [["span", name], ["i", length], ["span", value]]) {
      const cell = document.createElement(kind);
      cell.textContent = text;
      row.append(cell);
    }
    row.title = "serves " + role;
    fields.append(row);
    rows.push(row);
    const last = Math.min(Math.ceil((at + bits) / 8), count);
    for (let byte = Math.floor(at / 8); byte < last; byte++) owners[byte].push(index);
    row.addEventListener("pointerenter", () => light([index]));
    at += bits;
  });
  if (count < size) {
    const more = document.createElement("h5");
    more.textContent = "… and so on, " + size.toLocaleString("en") + " bytes in all";
    fields.append(more);
  }
  const across = matchMedia("(max-width: 520px)").matches ? 8 : 16;
  const cells = [];
  for (let byte = 0; byte < count; byte++) {
    if (byte % across === 0) {
      const address = document.createElement("span");
      address.textContent = byte.toString(16).padStart(4, "0");
      grid.append(address);
    }
    const cell = document.createElement("b");
    cell.textContent = hex.slice(2 * byte, 2 * byte + 2);
    const owner = owners[byte][0];
    if (owner !== undefined) cell.className = groups.get(parts[owner][3]);
    cell.addEventListener("pointerenter", () => choose(byte));
    grid.append(cell);
    cells.push(cell);
  }
  let chosen = 0;
  function light(indices) {
    for (const other of box.querySelectorAll(".on")) other.classList.remove("on");
    for (const index of indices) rows[index].classList.add("on");
    owners.forEach((owned, byte) => {
      if (owned.some((index) => indices.includes(index))) cells[byte].classList.add("on");
    });
  }
  function choose(byte) {
    chosen = Math.max(0, Math.min(count - 1, byte));
    light(owners[chosen]);
    const row = rows[owners[chosen][0]];
    if (row) fields.scrollTop = row.offsetTop - fields.offsetTop - fields.clientHeight / 3;
  }
  grid.tabIndex = 0;
  grid.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    choose(chosen + by);
    cells[chosen].scrollIntoView({ block: "nearest" });
  });
}
