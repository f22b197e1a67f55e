"use strict";
(() => {
  const make = (name, parent) => parent.appendChild(document.createElement(name));

  // Light, dark, or as the screen is.
  const themes = ["auto", "light", "dark"];
  const theme = document.createElement("button");
  const main = document.querySelector("main");
  main.insertBefore(theme, main.firstChild);
  theme.type = "button";
  theme.className = "theme";
  let chosen = 0;
  const show = () => {
    if (chosen) document.documentElement.dataset.theme = themes[chosen];
    else delete document.documentElement.dataset.theme;
    theme.textContent = "colours: " + themes[chosen];
  };
  theme.addEventListener("click", () => { chosen = (chosen + 1) % themes.length; show(); });
  show();

  // A key turns its line off and on.
  for (const svg of document.querySelectorAll("svg.plot")) {
    for (const key of svg.querySelectorAll(".key")) {
      const line = svg.querySelector(`.line[data-line="${key.dataset.line}"]`);
      const toggle = () => {
        const off = key.classList.toggle("off");
        line.classList.toggle("off", off);
        key.setAttribute("aria-pressed", String(!off));
      };
      key.setAttribute("role", "button");
      key.setAttribute("tabindex", "0");
      key.setAttribute("aria-pressed", "true");
      key.addEventListener("click", toggle);
      key.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        toggle();
      });
    }
  }

  // What the lines say where the pointer is.
  const tip = make("div", document.body);
  tip.className = "tip";
  tip.hidden = true;
  const places = new WeakMap();
  const placesOf = (line) => {
    if (!places.has(line)) {
      const path = line.querySelector(".curve").getAttribute("d");
      places.set(line, [...path.matchAll(/[ML]([\d.]+) ([\d.]+)/g)].map((match) => [Number(match[1]), Number(match[2])]));
    }
    return places.get(line);
  };
  for (const svg of document.querySelectorAll("svg.plot")) {
    const lines = [...svg.querySelectorAll(".line")];
    if (!lines.length) continue;
    const cursor = svg.querySelector(".cursor");
    const hide = () => { tip.hidden = true; cursor.style.visibility = "hidden"; };
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
      let at = null;
      const said = [];
      for (const line of lines) {
        if (line.classList.contains("off")) continue;
        let nearest = -1;
        placesOf(line).forEach((place, number, all) => {
          if (nearest < 0 || Math.abs(place[0] - x) < Math.abs(all[nearest][0] - x)) nearest = number;
        });
        if (nearest < 0) continue;
        const place = placesOf(line)[nearest];
        if (at === null || Math.abs(place[0] - x) < Math.abs(at[0] - x)) at = [place[0], line.dataset.x.split("|")[nearest]];
        said.push([place[0], line.dataset.name + ": " + line.dataset.y.split("|")[nearest]]);
      }
      if (at === null) return hide();
      tip.textContent = [at[1], ...said.filter((one) => Math.abs(one[0] - at[0]) < 12).map((one) => one[1])].join("\n");
      tip.hidden = false;
      const room = window.innerWidth - tip.offsetWidth - 8;
      tip.style.left = Math.max(4, Math.min(event.clientX + 14, room)) + "px";
      tip.style.top = Math.max(4, event.clientY - tip.offsetHeight - 12) + "px";
      cursor.style.visibility = "visible";
      for (const name of ["x1", "x2"]) cursor.setAttribute(name, at[0]);
    });
  }
})();
