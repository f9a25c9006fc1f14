(* SPDX-License-Identifier: Apache-2.0 *)
(** An optimum exists: points that are nearly optimal lie near one another, as the problem is strongly convex, and so
    near a limit, where the objective is no higher. *)
From Coq Require Import Reals Arith Lra Lia Classical_Pred_Type.
From Thermoe Require Import ProblemStatement Sums Entropy Convexity Strong FromBelow.
Open Scope R_scope.

Section Problem.
Variable p : problem.
Hypothesis cost_convex : convex (in_range p) (cost p).
Hypothesis cost_continuous : continuous p.
Hypothesis tau_positive : 0 < tau p.

Lemma least_value x : feasible p x ->
  exists v, (forall y, feasible p y -> v <= objective p y) /\
            forall error, 0 < error -> exists y, feasible p y /\ objective p y < v + error.
Proof.
  intros Hx. destruct (objective_bounded p cost_convex cost_continuous tau_positive x Hx) as [low L].
  set (values := fun v => exists y, feasible p y /\ v = - objective p y).
  destruct (completeness values) as (top & Up & Least).
  { exists (- low). intros v (y & Hy & ->). pose proof (L y Hy). lra. }
  { exists (- objective p x), x. auto. }
  exists (- top). split.
  - intros y Hy. assert (- objective p y <= top) by (apply Up; now exists y). lra.
  - intros error He. apply not_all_not_ex. intros None.
    assert (top <= top - error); [| lra]. apply Least. intros v (y & Hy & ->).
    apply Rnot_lt_le. intros H. apply (None y). split; [exact Hy | lra].
Qed.

Variables (value : R) (some : matrix).
Hypothesis some_feasible : feasible p some.
Hypothesis value_below : forall y, feasible p y -> value <= objective p y.
Hypothesis value_approached : forall error, 0 < error -> exists y, feasible p y /\ objective p y < value + error.

(** Points so near the least value that any two of them are within r. *)
Definition good (r : R) (x : matrix) : Prop := feasible p x /\ objective p x < value + tau p * r^2 / 2.

Lemma good_exists r : 0 < r -> exists x, good r x.
Proof. intros Hr. apply value_approached. assert (0 < r^2) by (apply pow_lt; exact Hr). nra. Qed.

Lemma good_shrinks r s x : 0 < r <= s -> good r x -> good s x.
Proof.
  intros H [Hx L]. split; [exact Hx |]. assert (r^2 <= s^2) by (apply pow_incr; lra). nra.
Qed.

Lemma good_near r x y : 0 < r -> good r x -> good r y -> near p r x y.
Proof.
  intros Hr [Hx Lx] [Hy Ly].
  assert (feasible p (mix (1 / 2) x y)) as Hm by (apply feasible_set_convex; auto; lra).
  pose proof (value_below _ Hm) as V.
  pose proof (objective_mix p (1 / 2) x y cost_convex ltac:(lra) Hx Hy) as C.
  set (D := sum2 (rows p) (experts p) (fun i e => (x i e - y i e)^2)).
  assert (1 / 2 * D <= sum2 (rows p) (experts p) (saved (1 / 2) x y)) as S.
  { unfold D. rewrite <- sum2_scale. apply sum2_le. intros i e Hi He.
    pose proof (entropy_strongly_convex (1 / 2) (x i e) (y i e) ltac:(lra)
      (proj1 (proj2 (Hx i Hi) e He)) (proj1 (proj2 (Hy i Hi) e He))) as E.
    unfold saved, mix. lra. }
  apply (Rmult_le_compat_l (tau p)) in S; [| lra].
  assert (D <= r^2) as B by (apply (Rmult_le_reg_l (tau p)); [exact tau_positive | lra]).
  intros i e Hi He.
  assert ((x i e - y i e)^2 <= D) as One.
  { apply Rnot_lt_le. intros L.
    assert (forall n f j, (j < n)%nat -> (forall i, 0 <= f i) -> f j <= sum n f) as Term.
    { clear. induction n as [| n IH]; intros f j Hj Pos; [lia |]. cbn [sum]. pose proof (Pos n).
      destruct (Nat.eq_dec j n) as [-> | N].
      - assert (0 <= sum n f) by (apply sum_nonneg; auto). lra.
      - pose proof (IH f j ltac:(lia) Pos). lra. }
    pose proof (Term (experts p) (fun e => (x i e - y i e)^2) e He (fun _ => pow2_ge_0 _)) as T1.
    pose proof (Term (rows p) (fun i => sum (experts p) (fun e => (x i e - y i e)^2)) i Hi
      (fun _ => sum_nonneg _ _ (fun _ _ => pow2_ge_0 _))) as T2.
    cbv beta in T1, T2. fold (sum2 (rows p) (experts p) (fun i e => (x i e - y i e)^2)) in T2. fold D in T2. lra. }
  apply Rabs_le. split; apply Rnot_lt_le; intros L; nra.
Qed.

(** The limit, entry by entry. *)
Definition below (i e : nat) (v : R) : Prop :=
  v <= 0 \/ (v <= 1 /\ exists r, 0 < r /\ forall x, good r x -> v <= x i e).

Lemma below_bounded i e : bound (below i e).
Proof. exists 1. intros v [H | [H _]]; lra. Qed.

Lemma below_inhabited i e : exists v, below i e v.
Proof. exists 0. left. lra. Qed.

Definition limit : matrix := fun i e => proj1_sig (completeness _ (below_bounded i e) (below_inhabited i e)).

Lemma limit_lub i e : is_lub (below i e) (limit i e).
Proof. exact (proj2_sig (completeness _ (below_bounded i e) (below_inhabited i e))). Qed.

Lemma limit_near r x : 0 < r -> good r x -> near p r limit x.
Proof.
  intros Hr Hx i e Hi He. destruct (limit_lub i e) as [Up Least].
  destruct (proj1 (proj2 (proj1 Hx i Hi) e He)) as [X0 X1]. apply Rabs_le. split.
  - enough (x i e - r <= limit i e) by lra. apply Up.
    destruct (Rle_lt_dec (x i e - r) 0) as [N | P]; [now left | right]. split; [lra |]. exists r. split; [exact Hr |].
    intros y Hy. pose proof (good_near r x y Hr Hx Hy i e Hi He) as A. pose proof (Rle_abs (x i e - y i e)). lra.
  - enough (limit i e <= x i e + r) by lra. apply Least. intros v [N | (V & s & Hs & H)]; [lra |].
    assert (0 < Rmin r s) as Hm by (apply Rmin_glb_lt; assumption).
    destruct (good_exists _ Hm) as (y & Hy).
    assert (good s y) as Hys by (apply (good_shrinks (Rmin r s)); [split; [exact Hm | apply Rmin_r] | exact Hy]).
    assert (good r y) as Hyr by (apply (good_shrinks (Rmin r s)); [split; [exact Hm | apply Rmin_l] | exact Hy]).
    pose proof (H y Hys). pose proof (good_near r y x Hr Hyr Hx i e Hi He). pose proof (Rle_abs (y i e - x i e)). lra.
Qed.

Lemma limit_feasible : feasible p limit.
Proof.
  intros i Hi. split.
  - apply Rminus_diag_uniq. apply (vanishes _ (INR (experts p))). intros r Hr.
    destruct (good_exists r Hr) as (x & Hx). rewrite <- (proj1 (proj1 Hx i Hi)).
    apply sum_near. intros e He. now apply limit_near.
  - intros e He. destruct (limit_lub i e) as [Up Least]. split; [split |].
    + apply Up. left. lra.
    + apply Least. intros v [N | [V _]]; lra.
    + intros O. apply (vanishes _ 1). intros r Hr. destruct (good_exists r Hr) as (x & Hx).
      pose proof (limit_near r x Hr Hx i e Hi He) as A.
      rewrite (proj2 (proj2 (proj1 Hx i Hi) e He) O), Rminus_0_r in A. lra.
Qed.

Lemma limit_is_least : objective p limit <= value.
Proof.
  apply Rnot_lt_le. intros H. set (error := (objective p limit - value) / 2).
  assert (0 < error) as He by (unfold error; lra).
  destruct (objective_from_below p cost_continuous tau_positive limit error limit_feasible He) as (r0 & Hr0 & L).
  set (r := Rmin r0 (Rmin 1 (error / tau p))).
  assert (0 < r) as Hr by (repeat apply Rmin_glb_lt; try lra; apply Rdiv_lt_0_compat; lra).
  assert (r <= r0 /\ r <= 1 /\ r <= error / tau p) as (A & B & C).
  { unfold r. pose proof (Rmin_l r0 (Rmin 1 (error / tau p))). pose proof (Rmin_r r0 (Rmin 1 (error / tau p))).
    pose proof (Rmin_l 1 (error / tau p)). pose proof (Rmin_r 1 (error / tau p)). lra. }
  destruct (good_exists r Hr) as (x & Hx). destruct Hx as [Fx Lx] eqn:E. clear E.
  assert (near p r0 x limit) as N.
  { intros i e Hi He'. rewrite Rabs_minus_sym. pose proof (limit_near r x Hr Hx i e Hi He'). lra. }
  pose proof (L x Fx N) as Q.
  assert (tau p * r <= error).
  { apply (Rmult_le_compat_l (tau p)) in C; [| lra].
    replace (tau p * (error / tau p)) with error in C by (field; lra). exact C. }
  assert (r^2 <= r) by nra. unfold error in *. nra.
Qed.
End Problem.

Theorem optimum_exists : Optimum_exists.
Proof.
  intros p HF Hc Htau [x Hx]. destruct (least_value p HF Hc Htau x Hx) as (v & Below & Near).
  exists (limit p v). split; [now apply limit_feasible |].
  intros y Hy. apply Rle_trans with v; [now apply limit_is_least | now apply Below].
Qed.
