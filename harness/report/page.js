"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 240, GAP = 8, STEP = 12;

  // ---------------------------------------------------------------------------------------------------------- tables

  /** The number a cell begins with; null for an en dash or a text. */
  const leading = (text) => {
    const found = /^\s*([+\-−]?\d[\d,]*(?:\.\d+)?)/.exec(text);
    return found ? Number(found[1].replaceAll(",", "").replace("−", "-")) : null;
  };

  const lively = (box) => {
    const form = box.querySelector("form");
    if (!form) return;
    const table = box.querySelector("table");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({
      row,
      cells: [...row.cells].map((cell) => cell.textContent.trim()),
      text: row.textContent.toLowerCase(),
    }));
    const count = form.querySelector("output");
    const announce = box.querySelector(".announce");
    const search = form.querySelector("input");
    const menus = [...form.querySelectorAll("select")];
    rows.forEach((one) => { one.text = one.cells.join(" ").toLowerCase(); });

    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let seen = 0;
      for (const one of rows) {
        const fits = words.every((word) => one.text.includes(word))
          && menus.every((menu) => !menu.value || one.cells[Number(menu.dataset.column)] === menu.value);
        one.row.hidden = !fits;
        seen += fits ? 1 : 0;
      }
      count.value = `${seen} of ${rows.length} ${rows.length === 1 ? "row" : "rows"}`;
    };

    const heads = [...table.tHead.rows[0].cells];
    const sort = (column) => {
      const values = rows.map((one) => one.cells[column]);
      const numeric = values.some((text) => leading(text) !== null)
        && values.every((text) => leading(text) !== null || text === "" || text === "–");
      const now = heads[column].getAttribute("aria-sort");
      // Numbers begin with the highest, ranks and names with the first.
      const first = numeric && heads[column].textContent.trim() !== "#" ? "descending" : "ascending";
      const next = now === "none" ? first : now === "ascending" ? "descending" : "ascending";
      const sign = next === "ascending" ? 1 : -1;
      const empty = (text) => text === "" || text === "–";
      const order = rows.map((one, place) => ({ one, place, text: one.cells[column] }));
      order.sort((a, b) => {
        if (empty(a.text) || empty(b.text)) return empty(a.text) - empty(b.text) || a.place - b.place;
        const apart = numeric ? leading(a.text) - leading(b.text) : a.text < b.text ? -1 : a.text > b.text ? 1 : 0;
        return sign * apart || a.place - b.place;
      });
      body.append(...order.map(({ one }) => one.row));
      heads.forEach((head, number) => head.setAttribute("aria-sort", number === column ? next : "none"));
      announce.textContent = `Sorted by ${heads[column].textContent.trim()}, ${next}.`;
    };

    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent || "sort";
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(column));
    });
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    filter();
  };

  // --------------------------------------------------------------------------------------------------------- gallery

  const element = (name, attributes, ...children) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  const html = (name, className, ...children) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    made.append(...children);
    return made;
  };

  /** Share of a card's points that a method has right; null where it predicted nothing. */
  const share = (card, method) => {
    const found = card.found[method];
    return found ? found.right.reduce((sum, one) => sum + one, 0) / found.right.length : null;
  };

  const marks = (card, found, scales, left) => {
    const at = ([x, y], side) => (x === null || y === null ? null : [x * scales[side] + side * left, y * scales[side]]);
    const made = [];
    card.names.forEach((name, number) => {
      const source = at(card.source[number], 0), truth = at(card.truth[number], 1), end = at(found.points[number], 1);
      if (!source || !truth || !end) return;
      const right = Boolean(found.right[number]);
      const title = element("title", {});
      title.textContent = `${name}: ${right ? "correct" : "wrong"}`;
      const group = element("g", { class: right ? "right" : "wrong" }, title);
      const line = `M${source}L${end}`;
      group.append(element("path", { class: "under", d: line }), element("path", { class: "line", d: line }));
      if (!right) for (const kind of ["miss edge", "miss"]) group.append(element("path", { class: kind, d: `M${end}L${truth}` }));
      for (const kind of ["ring under", "ring"]) group.append(element("circle", { class: kind, r: 6, cx: truth[0], cy: truth[1] }));
      group.append(element("circle", { class: "source", r: 4, cx: source[0], cy: source[1] }));
      if (right) group.append(element("circle", { class: "dot", r: 4, cx: end[0], cy: end[1] }));
      else for (const kind of ["cross under", "cross"]) group.append(element("path", { class: kind, d: `M${end[0] - 5} ${end[1] - 5}l10 10m0 -10l-10 10` }));
      made.push(group);
    });
    return made;
  };

  const drawn = (card, method, name) => {
    const found = card.found[method];
    if (!found) return html("div", "drawn", html("p", "", html("b", "", name), " no prediction"));
    const widths = card.sizes.map(([width, height]) => HEIGHT / height * width);
    const scales = card.sizes.map(([, height]) => HEIGHT / height);
    const left = widths[0] + GAP;
    const total = found.right.length;
    const score = `${found.right.reduce((sum, one) => sum + one, 0)} of ${total} ${total === 1 ? "point" : "points"}`;
    const wrong = card.names.filter((_, number) => !found.right[number]).join(", ");
    const picture = element("svg", {
      viewBox: `0 0 ${left + widths[1]} ${HEIGHT}`,
      role: "img",
      "aria-label": `Pair ${card.id}, ${name}: ${score} correct.${wrong ? ` Wrong keypoints: ${wrong}.` : ""}`,
    });
    card.pictures.forEach((number, side) => picture.append(element("use", {
      href: `#picture${number}`, transform: `translate(${side * left} 0) scale(${widths[side]} ${HEIGHT})`,
    })));
    picture.append(...marks(card, found, scales, left));
    const made = html("div", "drawn", html("p", "", html("b", "", name), " ", html("span", "score", score)), picture);
    if (wrong) made.append(html("p", "missed", `Wrong keypoints: ${wrong}`));
    return made;
  };

  const gallery = (box) => {
    const content = JSON.parse(document.getElementById(box.dataset.gallery).textContent);
    const form = box.querySelector("form");
    const [a, b, order, category] = ["a", "b", "order", "category"].map((role) => form.querySelector(`[data-role=${role}]`));
    const list = box.querySelector(".cards");
    const more = box.querySelector(".more");
    const count = form.querySelector("output");
    let chosen = [];
    let shown = 0;

    const card = (one, methods) => html(
      "li", "card", html("h4", "", one.id), html("p", "quietly", one.category),
      ...methods.map((method) => drawn(one, method, content.methods[method])),
    );

    const grow = () => {
      const methods = [Number(a.value), ...(b.value === "" ? [] : [Number(b.value)])];
      const next = chosen.slice(shown, shown + STEP);
      list.append(...next.map((one) => card(one, methods)));
      shown += next.length;
      more.hidden = shown >= chosen.length;
      const all = content.cards.length;
      count.value = `${chosen.length} of ${all} ${all === 1 ? "pair" : "pairs"}, ${shown} shown`;
    };

    const choose = () => {
      const first = Number(a.value);
      const other = b.value === "" ? null : Number(b.value);
      const different = order.querySelector("[value=different]");
      different.disabled = other === null;
      if (other === null && order.value === "different") order.value = "worst";
      const key = (one) => {
        const mine = share(one, first), its = other === null ? null : share(one, other);
        const value = order.value === "different" ? -Math.abs(mine - its) : order.value === "best" ? -mine : mine;
        return Math.round(value * 1e9);
      };
      chosen = content.cards
        .filter((one) => (!category.value || one.category === category.value) && share(one, first) !== null
          && (other === null || share(one, other) !== null))
        .map((one) => ({ one, key: key(one) }))
        .sort((x, y) => x.key - y.key || y.one.names.length - x.one.names.length || (x.one.id < y.one.id ? -1 : 1))
        .map(({ one }) => one);
      list.replaceChildren();
      shown = 0;
      grow();
    };

    if (content.methods.length < 2) order.value = "worst";
    form.addEventListener("change", choose);
    form.addEventListener("submit", (event) => event.preventDefault());
    more.querySelector("button").addEventListener("click", () => {
      const before = list.children.length;
      grow();
      // The button may be gone: focus goes on at the first new card.
      const fresh = list.children[before];
      if (fresh) { fresh.tabIndex = -1; fresh.focus({ preventScroll: true }); }
    });
    form.hidden = false;
    choose();
  };

  document.querySelectorAll("[data-table]").forEach(lively);
  document.querySelectorAll("[data-gallery]").forEach(gallery);
})();
