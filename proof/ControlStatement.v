(* SPDX-License-Identifier: Apache-2.0 *)
(** What is proven of docs/theory.md, section 5, by its equation numbers: definitions, then statements, proven as
    ProblemStatement.v says. *)

From Coq Require Import Reals.
From Thermoe Require Import ProblemStatement.
Open Scope R_scope.

(** * The first-order thermal model over a horizon of steps, (12) *)

(** T after j steps, from [start]; ambient is T_a + o, and [power] of step i under the
    decisions x: of one plan that is held, or of all steps side by side. *)
Fixpoint temperature (rho ambient resistance start : R) (power : nat -> matrix -> R) (j : nat) (x : matrix) : R :=
  match j with
  | O => start
  | S i => rho * temperature rho ambient resistance start power i x + (1 - rho) * (ambient + resistance * power i x)
  end.

(** A cap on it at any step is a convex constraint. *)
Definition Temperature_convex : Prop := forall D rho ambient resistance start power j,
  0 <= rho <= 1 -> 0 <= resistance -> (forall i, (i < j)%nat -> convex D (power i)) ->
  convex D (temperature rho ambient resistance start power j).

(** * The observer (12) *)

(** One step of what it believes, (T̂, o), given the reading that follows; [known] is T_a + R·P of the step. *)
Definition observe (rho q known reading : R) (state : R * R) : R * R :=
  let (estimate, offset) := state in
  let predicted := rho * estimate + (1 - rho) * (known + offset) in
  let e := reading - predicted in
  (predicted + (1 - q^2 / rho) * e, offset + (1 - q)^2 / (1 - rho) * e).

(** Beliefs after j steps, and the temperature of a plant with a true offset. *)
Fixpoint beliefs (rho q : R) (known reading : nat -> R) (start : R * R) (j : nat) : R * R :=
  match j with O => start | S i => observe rho q (known i) (reading i) (beliefs rho q known reading start i) end.
Fixpoint plant (rho offset : R) (known : nat -> R) (start : R) (j : nat) : R :=
  match j with O => start | S i => rho * plant rho offset known start i + (1 - rho) * (known i + offset) end.

(** Both errors after j steps are q^j times a linear function of j: both poles are at q, at any step and power. *)
Definition Observer_has_its_poles_at_q : Prop := forall rho q offset known start first,
  0 < rho < 1 -> 0 < q ->
  let truth := plant rho offset known start in
  let belief := beliefs rho q known (fun i => truth (S i)) first in
  exists a0 a1 o0 o1, forall j,
    truth j - fst (belief j) = q^j * (a0 + a1 * INR j) /\ offset - snd (belief j) = q^j * (o0 + o1 * INR j).
