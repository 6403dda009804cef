
"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const map = L.map("map", { maxZoom: data.maxZoom });
  L.tileLayer(data.tiles, {
    attribution: data.attribution,
    maxZoom: data.maxZoom,
    referrerPolicy: "strict-origin-when-cross-origin",
  }).addTo(map);

  // Nodes with text, never HTML: whatever somebody wrote is shown as it was written.
  function node(name, text, className) {
    const made = document.createElement(name);
    made.textContent = text;
    made.className = className || "";
    return made;
  }

  function popup(place) {
    const content = document.createElement("div");
    content.append(node("b", place.name), node("div", place.text, "text"));
    const link = node("a", data.open);
    const at = place.at.map((degrees) => degrees.toFixed(6));
    link.href = "https://www.openstreetmap.org/?mlat=" + at[0] + "&mlon=" + at[1] + "#map=17/" + at.join("/");
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    content.append(link);
    return content;
  }

  const points = data.places.map((place, index) => {
    const icon = L.divIcon({ className: "place", html: String(index + 1), iconSize: [26, 26] });
    L.marker(place.at, { icon: icon, keyboard: true, alt: String(index + 1) }).bindPopup(() => popup(place)).addTo(map);
    return place.at;
  });
  if (data.origin !== null) {
    const here = L.circleMarker(data.origin, { radius: 9, color: "#1f5fbf", fillOpacity: 0.6 });
    here.bindTooltip(node("span", data.here)).addTo(map);
    points.push(data.origin);
  }
  if (points.length > 0) {
    map.fitBounds(points, { padding: [30, 30], maxZoom: data.focusZoom });
  } else {
    map.setView([0, 0], 2);
  }
})();
