// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>

namespace thermoe {

/// A number with a unit in its type. `Tag` names the unit; the value is in that unit (SI, and
/// degrees Celsius or megahertz where people read those). Suffixes (`_mw`, `_us`) exist only at
/// JSON, CSV and C boundaries.
template <class Tag>
struct Quantity {
  double value = 0.0;

  constexpr Quantity() = default;
  constexpr explicit Quantity(double v) : value(v) {}

  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity& operator+=(Quantity o) { return value += o.value, *this; }
  constexpr Quantity& operator-=(Quantity o) { return value -= o.value, *this; }
  constexpr Quantity& operator*=(double s) { return value *= s, *this; }
  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity(a.value + b.value);
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity(a.value - b.value);
  }
  friend constexpr Quantity operator-(Quantity a) { return Quantity(-a.value); }
  friend constexpr Quantity operator*(Quantity a, double s) { return Quantity(a.value * s); }
  friend constexpr Quantity operator*(double s, Quantity a) { return Quantity(a.value * s); }
  friend constexpr Quantity operator/(Quantity a, double s) { return Quantity(a.value / s); }
  friend constexpr double operator/(Quantity a, Quantity b) { return a.value / b.value; }
};

using Seconds = Quantity<struct SecondsTag>;
using Joules = Quantity<struct JoulesTag>;
using Watts = Quantity<struct WattsTag>;
/// A temperature or a difference of temperatures, in degrees Celsius.
using Celsius = Quantity<struct CelsiusTag>;
using Megahertz = Quantity<struct MegahertzTag>;
using KelvinPerWatt = Quantity<struct KelvinPerWattTag>;

constexpr Joules operator*(Watts p, Seconds t) { return Joules(p.value * t.value); }
constexpr Joules operator*(Seconds t, Watts p) { return p * t; }
constexpr Watts operator/(Joules e, Seconds t) { return Watts(e.value / t.value); }
constexpr Celsius operator*(KelvinPerWatt r, Watts p) { return Celsius(r.value * p.value); }

}  // namespace thermoe
