(* SPDX-License-Identifier: Apache-2.0 *)
(** What is proven of docs/theory.md, sections 1 and 2, by its equation numbers: definitions, then statements.
    With Finite.v this is all that has to be read. The statement [Name] is proven by the theorem [name] in
    another file; tools/check_proof.py holds one to the other, and the axioms to those of axioms.txt.

    Finite index sets are the numbers below a bound, vectors are functions of numbers, of which only values
    below the bounds matter. A row is a token of a layer: all layers' tokens are numbered as rows i, and
    [layer] says whose a row is. Loads and prices are of a layer l and expert e. *)

From Coq Require Import Reals Arith.
From Thermoe Require Export Finite.
Open Scope R_scope.

(** * Vectors *)

Definition matrix := nat -> nat -> R.
Definition mix (a : R) (x y : matrix) : matrix := fun i e => a * x i e + (1 - a) * y i e.

(** * Convexity: of sets and functions of matrices, of functions of a number, and what bounds both below *)

Definition convex_set (D : matrix -> Prop) : Prop :=
  forall a x y, 0 <= a <= 1 -> D x -> D y -> D (mix a x y).

Definition convex (D : matrix -> Prop) (f : matrix -> R) : Prop :=
  forall a x y, 0 <= a <= 1 -> D x -> D y -> f (mix a x y) <= a * f x + (1 - a) * f y.

Definition convex1 (D : R -> Prop) (f : R -> R) : Prop :=
  forall a s t, 0 <= a <= 1 -> D s -> D t -> f (a * s + (1 - a) * t) <= a * f s + (1 - a) * f t.

Definition strictly_convex1 (D : R -> Prop) (f : R -> R) : Prop :=
  forall a s t, 0 < a < 1 -> D s -> D t -> s <> t -> f (a * s + (1 - a) * t) < a * f s + (1 - a) * f t.

(** g ∈ ∂f(s), over D. *)
Definition slope (D : R -> Prop) (f : R -> R) (s g : R) : Prop := forall t, D t -> f s + g * (t - s) <= f t.

Definition everywhere (_ : R) : Prop := True.
Definition interval (low high s : R) : Prop := low <= s <= high.
Definition nondecreasing (f : R -> R) : Prop := forall s t, s <= t -> f s <= f t.

(** Coq's [ln] is total, and 0 * ln 0 is 0 whatever ln 0 is: the convention 0 log 0 = 0. *)
Definition entropy (t : R) : R := t * ln t + (1 - t) * ln (1 - t).
Definition sigma (z : R) : R := 1 / (1 + exp (- z)).

(** * The problem (P), equation (2) *)

Record problem := {
  rows : nat;  layers : nat;  experts : nat;
  layer : nat -> nat;           (* the layer of a row *)
  k : nat -> R;                 (* picks of a row *)
  own : nat -> nat -> bool;     (* e ∈ O_t, section "Routing": all, but for routers with groups *)
  u : matrix;                   (* utility; v for a router with a bias of its own *)
  tau : R;
  cost : matrix -> R            (* F(n), of loads n_le; [hardware] below is that of (2) *)
}.

Definition well_formed (p : problem) : Prop := forall i, (i < rows p)%nat -> (layer p i < layers p)%nat.

(** Each row picks some, but not all, of its experts. *)
Definition picks_some (p : problem) : Prop := forall i, (i < rows p)%nat ->
  0 < k p i < sum (experts p) (fun e => if own p i e then 1 else 0).

Definition feasible (p : problem) (x : matrix) : Prop :=
  forall i, (i < rows p)%nat ->
    sum (experts p) (x i) = k p i /\
    forall e, (e < experts p)%nat -> 0 <= x i e <= 1 /\ (own p i e = false -> x i e = 0).

Definition loads (p : problem) (x : matrix) : matrix :=
  fun l e => sum (rows p) (fun i => if (layer p i =? l)%nat then x i e else 0).

Definition tokens (p : problem) (l : nat) : R :=
  sum (rows p) (fun i => if (layer p i =? l)%nat then 1 else 0).

(** Loads that can occur: c_re need be convex on [0, tokens] only. *)
Definition in_range (p : problem) (n : matrix) : Prop :=
  forall l e, (l < layers p)%nat -> (e < experts p)%nat -> interval 0 (tokens p l) (n l e).

Definition objective (p : problem) (x : matrix) : R :=
  - sum2 (rows p) (experts p) (fun i e => u p i e * x i e)
  + tau p * sum2 (rows p) (experts p) (fun i e => entropy (x i e))
  + cost p (loads p x).

Definition same (p : problem) (x y : matrix) : Prop :=
  forall i e, (i < rows p)%nat -> (e < experts p)%nat -> x i e = y i e.

Definition minimiser (p : problem) (x : matrix) : Prop :=
  feasible p x /\ forall y, feasible p y -> objective p x <= objective p y.

Definition unique_minimiser (p : problem) (x : matrix) : Prop :=
  minimiser p x /\ forall y, minimiser p y -> same p x y.

(** ⟨b, n⟩ of prices and loads. *)
Definition paid (p : problem) (b n : matrix) : R := sum2 (layers p) (experts p) (fun l e => b l e * n l e).
Definition difference (y n : matrix) : matrix := fun l e => y l e - n l e.

(** b ∈ ∂F(n), over the loads that can occur. *)
Definition subgradient (p : problem) (n b : matrix) : Prop :=
  forall y, in_range p y -> cost p n + paid p b (difference y n) <= cost p y.

Definition continuous (p : problem) : Prop := forall n, in_range p n -> forall error, 0 < error ->
  exists small, 0 < small /\ forall m, in_range p m ->
    (forall l e, (l < layers p)%nat -> (e < experts p)%nat -> Rabs (m l e - n l e) < small) ->
    Rabs (cost p m - cost p n) < error.

(** b = ∇F(n): the rate at which F changes from n towards any loads that can occur. *)
Definition gradient (p : problem) (n b : matrix) : Prop :=
  forall y, in_range p y -> forall error, 0 < error ->
  exists small, 0 < small /\ forall a, 0 < a < small -> a <= 1 ->
    Rabs (cost p (mix a y n) - cost p n - a * paid p b (difference y n)) <= a * error.

(** The problem with prices b in place of the cost term. *)
Definition priced (p : problem) (b : matrix) : problem := {|
  rows := rows p; layers := layers p; experts := experts p; layer := layer p; k := k p; own := own p; u := u p;
  tau := tau p; cost := paid p b |}.

(** Equation (4). *)
Definition fermi (p : problem) (x b : matrix) (mu : nat -> R) : Prop :=
  forall i e, (i < rows p)%nat -> (e < experts p)%nat ->
    x i e = if own p i e then sigma ((u p i e - b (layer p i) e - mu i) / tau p) else 0.

(** Its limit τ = 0: 1 above the row's threshold, 0 below, anything at a tie. *)
Definition hard (p : problem) (x b : matrix) (mu : nat -> R) : Prop :=
  forall i e, (i < rows p)%nat -> (e < experts p)%nat -> own p i e = true ->
    (u p i e - b (layer p i) e > mu i -> x i e = 1) /\ (u p i e - b (layer p i) e < mu i -> x i e = 0).

(** Σ_r w_r φ_r( Σ_l Σ_e c_rle(n_le) + rest_r ), rest_r = constant + residual_r: the last term of (2). *)
Record resource := { weight : R;  phi : R -> R;  unit_cost : nat -> nat -> R -> R;  rest : R }.

Definition use (p : problem) (r : resource) (n : matrix) : R :=
  sum2 (layers p) (experts p) (fun l e => unit_cost r l e (n l e)) + rest r.

Definition hardware (p : problem) (count : nat) (r : nat -> resource) (n : matrix) : R :=
  sum count (fun j => weight (r j) * phi (r j) (use p (r j) n)).

Definition sound (p : problem) (r : resource) : Prop :=
  0 <= weight r /\ convex1 everywhere (phi r) /\ nondecreasing (phi r) /\
  forall l e, (l < layers p)%nat -> (e < experts p)%nat -> convex1 (interval 0 (tokens p l)) (unit_cost r l e).

(** * Statements *)

Definition Composition_convex : Prop := forall D phi C,
  convex1 everywhere phi -> nondecreasing phi -> convex D C -> convex D (fun n => phi (C n)).

Definition Feasible_set_convex : Prop := forall p, convex_set (feasible p).

Definition Entropy_strictly_convex : Prop := strictly_convex1 (interval 0 1) entropy.

(** The cost term of (2) is convex in the loads. *)
Definition Hardware_convex : Prop := forall p count r,
  (forall j, (j < count)%nat -> sound p (r j)) -> convex (in_range p) (hardware p count r).

(** (P) is convex, for τ > 0 strictly, so that it has at most one optimum. *)
Definition Objective_convex : Prop := forall p,
  convex (in_range p) (cost p) -> 0 <= tau p -> convex (feasible p) (objective p).

Definition Objective_strictly_convex : Prop := forall p a x y,
  convex (in_range p) (cost p) -> 0 < tau p -> 0 < a < 1 -> feasible p x -> feasible p y -> ~ same p x y ->
  objective p (mix a x y) < a * objective p x + (1 - a) * objective p y.

Definition At_most_one_minimiser : Prop := forall p x y,
  convex (in_range p) (cost p) -> 0 < tau p -> minimiser p x -> minimiser p y -> same p x y.

Definition Optimum_exists : Prop := forall p,
  convex (in_range p) (cost p) -> continuous p -> 0 < tau p -> (exists x, feasible p x) -> exists x, minimiser p x.

(** (3) and (4) say the same. *)
Definition Logit_is_fermi : Prop := forall tau z x, 0 < tau ->
  (0 < x < 1 /\ z = tau * ln (x / (1 - x)) <-> x = sigma (z / tau)).

(** μ_t of (4) exists and is one, if a token picks some but not all of its experts: of v, [chosen] and count of
    them. *)
Definition Threshold_exists : Prop := forall n (chosen : nat -> bool) (v : nat -> R) tau k, 0 < tau ->
  0 < k < sum n (fun e => if chosen e then 1 else 0) ->
  exists! mu, sum n (fun e => if chosen e then sigma ((v e - mu) / tau) else 0) = k.

(** Any prices have their router of the form (4). *)
Definition Prices_have_their_router : Prop := forall p b, 0 < tau p -> picks_some p ->
  exists x mu, feasible p x /\ fermi p x b mu.

(** Sufficiency: a feasible x of the form (4), b a subgradient at its own loads, is the one optimum of (P). *)
Definition Sufficiency : Prop := forall p x b mu,
  well_formed p -> 0 < tau p -> feasible p x -> fermi p x b mu -> subgradient p (loads p x) b ->
  unique_minimiser p x.

(** Where F has a gradient, (4) is necessary too. *)
Definition Kkt : Prop := forall p x b,
  well_formed p -> 0 < tau p -> convex (in_range p) (cost p) -> picks_some p ->
  feasible p x -> gradient p (loads p x) b ->
  (minimiser p x <-> exists mu, fermi p x b mu).

(** The same as [Sufficiency] for τ = 0, where there may be others. *)
Definition Hard_sufficiency : Prop := forall p x b mu,
  well_formed p -> tau p = 0 -> feasible p x -> hard p x b mu -> subgradient p (loads p x) b -> minimiser p x.

(** (5): Σ_r w_r φ_r′ ∂c_re(n_e) are subgradients of the cost term of (2). *)
Definition Prices_are_subgradients : Prop := forall p count r n g s,
  (forall m, cost p m = hardware p count r m) ->
  (forall j, (j < count)%nat -> sound p (r j) /\ slope everywhere (phi (r j)) (use p (r j) n) (g j) /\
     forall l e, (l < layers p)%nat -> (e < experts p)%nat ->
       slope (interval 0 (tokens p l)) (unit_cost (r j) l e) (n l e) (s j l e)) ->
  subgradient p n (fun l e => sum count (fun j => weight (r j) * g j * s j l e)).

(** One price for all experts of a layer changes nothing but thresholds. *)
Definition Equal_prices_change_nothing : Prop := forall p x b c mu,
  fermi p x b mu -> fermi p x (fun l e => b l e + c l) (fun i => mu i - c (layer p i)).

(** (P) is strongly convex: the distance to its optimum is at most what the objective tells. *)
Definition Gap_bounds_distance : Prop := forall p x y,
  convex (in_range p) (cost p) -> 0 < tau p -> minimiser p x -> feasible p y ->
  2 * tau p * sum2 (rows p) (experts p) (fun i e => (y i e - x i e)^2) <= objective p y - objective p x.

(** Dearer experts lose load: n(b) falls as b rises, in the sense of monotone maps; of one price that changes
    alone, the load of its expert. *)
Definition Loads_fall_with_prices : Prop := forall p b c x y,
  minimiser (priced p b) x -> minimiser (priced p c) y ->
  paid p (difference b c) (difference (loads p x) (loads p y)) <= 0.

(** And not faster than T / 4τ of them, T the tokens of the largest layer: the dual is smooth. *)
Definition Loads_fall_smoothly : Prop := forall p b c x y largest,
  well_formed p -> 0 < tau p -> (forall l, (l < layers p)%nat -> tokens p l <= largest) ->
  minimiser (priced p b) x -> minimiser (priced p c) y ->
  4 * tau p * sum2 (layers p) (experts p) (fun l e => (loads p x l e - loads p y l e)^2) <=
  largest * - paid p (difference b c) (difference (loads p x) (loads p y)).

(** (19): any prices and thresholds bound the optimum from below; [conjugate] is F*(b) or more. *)
Definition Dual_bounds_primal : Prop := forall p x b mu conjugate,
  well_formed p -> 0 < tau p -> feasible p x ->
  (forall n, in_range p n -> paid p b n - conjugate <= cost p n) ->
  - sum (rows p) (fun i => mu i * k p i + tau p * sum (experts p) (fun e =>
      if own p i e then ln (1 + exp ((u p i e - b (layer p i) e - mu i) / tau p)) else 0))
  - conjugate <= objective p x.
